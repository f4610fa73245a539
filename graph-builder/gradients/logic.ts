/** @file Gradients of comparisons, selection and conversion. */
import type { GradientRules } from './rule.js';

export const logic = {
  Equal: () => [null, null], // constant almost everywhere
  Less: () => [null, null],
  GreaterOrEqual: () => [null, null],
  Identity: () => [null], // the IR's stop-gradient
  Where: ({ g, inputs: [condition], dy }) => [
    null,
    () => g.op('Where', [condition, dy, g.scalar(0)], {}),
    () => g.op('Where', [condition, g.scalar(0), dy], {}),
  ],
  // between float types only; the driver asks for no gradient of an integer
  Cast: ({ g, inputs: [x], dy }) => [() => g.cast(dy, x.dtype)],
} satisfies Partial<GradientRules>;
