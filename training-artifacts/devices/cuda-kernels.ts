/**
 * @file What ONNX Runtime's CUDA provider computes: the dtypes of its kernels at opset 18.
 *
 * Source: docs/OperatorKernels.md of ONNX Runtime (main of 2026, the CUDA section), facts only, for the dtypes
 * of our IR.
 */
import type { DType } from '../../graph-builder/ir/types.js';
import type { OpName } from '../../graph-builder/ops/registry.js';

const any: readonly DType[] = ['float32', 'float16', 'int32', 'int64', 'uint8', 'int8', 'bool'];
const floats: readonly DType[] = ['float32', 'float16'];
const products: readonly DType[] = [...floats, 'bfloat16'];
const bool: readonly DType[] = ['bool'];
const index: readonly DType[] = ['int32', 'int64'];
const numbers: readonly DType[] = [...floats, ...index];
const arithmetic: readonly DType[] = [...numbers, 'int8', 'uint8'];

/**
 * Dtypes by input; the last entry holds for all inputs after it. An operator that is missing runs on the CPU.
 * The record is exhaustive: a new operator does not compile until it is looked up.
 */
export const cudaKernels: Readonly<Record<OpName, readonly (readonly DType[])[] | 'none'>> = {
  Abs: [numbers],
  Add: [arithmetic],
  And: [bool],
  BatchNormalization: [floats],
  Cast: [[...any, 'bfloat16']],
  Clip: [[...floats, 'int64', 'int8', 'uint8']],
  Concat: [any],
  Conv: [floats],
  ConvTranspose: [floats],
  CumSum: [numbers, index],
  Div: [arithmetic],
  Equal: [[...numbers, 'bool']],
  Erf: [floats],
  Exp: [floats],
  Expand: [any],
  Gather: [any, index],
  GatherElements: [any, index],
  Gelu: [floats],
  Gemm: [products],
  Greater: [numbers],
  GreaterOrEqual: [numbers],
  Identity: [any],
  LayerNormalization: [floats],
  LeakyRelu: [floats],
  Less: [numbers],
  LessOrEqual: [numbers],
  Log: [floats],
  MatMul: [products],
  MatMulIntegerToFloat: 'none',
  MatMulNBits: [products, ['uint8'], products],
  MaxPool: [[...floats, 'int8', 'uint8']],
  Mul: [arithmetic],
  Neg: [[...numbers, 'int8']],
  Not: [bool],
  Or: [bool],
  Pow: [numbers],
  QuantizeLinear: [floats, floats, ['uint8', 'int8']],
  Reciprocal: [floats],
  ReduceLogSumExp: [floats],
  ReduceMax: [numbers],
  ReduceMean: [[...floats, 'int32']],
  ReduceSum: [numbers],
  Relu: [floats],
  Reshape: [any, ['int64']],
  ScatterElements: [any, index, any],
  Sigmoid: [floats],
  Slice: [any],
  Softmax: [floats],
  Split: [any],
  Sqrt: [floats],
  Sub: [arithmetic],
  Tanh: [floats],
  TopK: [numbers],
  Transpose: [any],
  Where: [bool, [...numbers, 'uint8'], [...numbers, 'uint8']],
};
