/** @file Gradients of comparisons, selection and conversion. */
import { CONSTANT, type GradientRules } from './rule.js';

export const logic = {
  Equal: CONSTANT,
  Less: CONSTANT,
  LessOrEqual: CONSTANT,
  Greater: CONSTANT,
  GreaterOrEqual: CONSTANT,
  And: CONSTANT,
  Or: CONSTANT,
  Not: CONSTANT,
  Identity: CONSTANT, // the IR's stop-gradient
  Where: ({ g, inputs: [condition], dy }) => [
    null,
    () => g.op('Where', [condition, dy, g.scalar(0)], {}),
    () => g.op('Where', [condition, g.scalar(0), dy], {}),
  ],
  // between float types only; the driver asks for no gradient of an integer
  Cast: ({ g, inputs: [x], dy }) => [() => g.cast(dy, x.dtype)],
} satisfies Partial<GradientRules>;
