/** @file Gradients of element-wise arithmetic; the driver sums over broadcast axes. */
import { type GradientRules, NoGradient } from './rule.js';

export const arithmetic = {
  Add: ({ dy }) => [() => dy, () => dy],
  Sub: ({ g, dy }) => [() => dy, () => g.op('Neg', [dy], {})],
  Mul: ({ g, inputs: [a, b], dy }) => [() => g.mul(dy, b), () => g.mul(dy, a)],
  // d(a/b) = da/b − y·db/b
  Div: ({ g, inputs: [, b], y, dy }) => [() => g.div(dy, b), () => g.op('Neg', [g.div(g.mul(dy, y), b)], {})],
  // dx = dy · p·x^(p − 1)
  Pow: ({ g, inputs: [x, p], dy }) => [
    () => g.mul(dy, g.mul(p, g.op('Pow', [x, g.sub(p, 1)], {}))),
    () => {
      throw new NoGradient('the exponent is trained', 'freeze it');
    },
  ],
  Neg: ({ g, dy }) => [() => g.op('Neg', [dy], {})],
  Exp: ({ g, y, dy }) => [() => g.mul(dy, y)],
  Log: ({ g, inputs: [x], dy }) => [() => g.div(dy, x)],
  Sqrt: ({ g, y, dy }) => [() => g.div(g.mul(dy, 0.5), y)],
  // 2/√π · exp(−x²)
  Erf: ({ g, inputs: [x], dy }) => [
    () => g.mul(dy, g.mul(g.op('Exp', [g.op('Neg', [g.mul(x, x)], {})], {}), 2 / Math.sqrt(Math.PI))),
  ],
  // dx = dy − dy·y²
  Tanh: ({ g, y, dy }) => [() => g.sub(dy, g.mul(dy, g.mul(y, y)))],
  Reciprocal: ({ g, y, dy }) => [() => g.op('Neg', [g.mul(dy, g.mul(y, y))], {})],
} satisfies Partial<GradientRules>;
