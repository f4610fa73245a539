/** @file Dtypes as ONNX numbers them. */
import type { DType } from './types.js';

/** ONNX's numbers of the dtypes (onnx.proto, TensorProto.DataType). */
export const onnxTypes = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
} as const satisfies Record<DType, number>;
