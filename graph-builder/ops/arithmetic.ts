/** @file Element-wise arithmetic with ONNX's broadcasting. */
import type { Value } from '../ir/types.js';
import { type Binary, broadcastType, defineOp, type Unary } from './define.js';

const binary = (op: string) => defineOp<Binary>({ infer: (inputs) => [broadcastType(op, inputs)] });
const unary = () =>
  defineOp<Unary>({ infer: ([x]: readonly [Value]) => [{ dtype: x.dtype, shape: x.shape }] });

/** Source: ONNX operators of the same names, opsets 13 to 15. */
export const Add = binary('Add');
export const Sub = binary('Sub');
export const Mul = binary('Mul');
export const Div = binary('Div');
export const Pow = binary('Pow');
export const Neg = unary();
export const Exp = unary();
export const Log = unary();
export const Sqrt = unary();
export const Erf = unary();
export const Tanh = unary();
export const Reciprocal = unary();
