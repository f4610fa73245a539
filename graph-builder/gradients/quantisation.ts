/** @file Products of 8-bit numbers have no gradients: they are put in after differentiation. */
import { type GradientRules, refused } from './rule.js';

const late = refused('8-bit products replace those of frozen weights after differentiation');

export const quantisation = {
  Abs: late,
  QuantizeLinear: late,
  MatMulIntegerToFloat: late,
  MatMulNBits: late,
} satisfies Partial<GradientRules>;
