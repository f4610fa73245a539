/** @file What the core asks of a runtime: named arrays in, named arrays out. */

export type TensorData = Float32Array | Int32Array | BigInt64Array | Uint8Array;

export interface Tensor {
  readonly data: TensorData;
  readonly dims: readonly number[];
}

export type Feeds = Readonly<Record<string, Tensor>>;

/** One loaded graph. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Computes the named outputs (default: all). Extra feeds are ignored. */
  run(feeds: Feeds, outputs?: readonly string[]): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

export const float32 = (data: Float32Array, dims: readonly number[]): Tensor => ({ data, dims });

export const int32 = (values: Iterable<number>, dims: readonly number[]): Tensor => ({
  data: Int32Array.from(values),
  dims,
});

export const int64 = (values: readonly number[]): Tensor => ({
  data: BigInt64Array.from(values, BigInt),
  dims: [values.length],
});

/** The values of a float32 output. */
export function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new Error('internal: expected a float32 tensor');
  return tensor.data;
}
