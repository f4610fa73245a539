/** @file The graph IR. Knows nothing of files, adapters or ONNX Runtime. */
import type { AttrsOf, OpName } from '../ops/registry.js';

export type DType = 'float32' | 'float16' | 'bfloat16' | 'int32' | 'int64' | 'uint8' | 'int8' | 'bool';

/** Axis length, or a product of names of axes known only at run time, e.g. 'batch' or '17*batch'. */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** What shape inference computes. */
export interface ValueType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** An edge of the graph. Identity is the object; the name is only a label. */
export interface Value extends ValueType {
  readonly name: string;
}

/**
 * A graph input. An int64 input may carry the run-time shape that `Reshape` needs where two axes are
 * symbolic: no graph computes shapes (the WebGPU provider has no kernels for it).
 */
export interface Input extends Value {
  readonly kind: 'input';
  readonly describes?: Shape;
}

export const initialisers = [
  'checkpoint',
  'zeros',
  'ones',
  'kaimingUniform',
  'normal',
  'standardNormal',
  /** lengths of the rows of the base weight beside it */
  'rowNorms',
] as const;
export type Initialiser = (typeof initialisers)[number];

/** A weight. Frozen ones are initialisers of the ONNX graph, trainable ones its inputs. */
export interface Parameter extends Value {
  readonly kind: 'parameter';
  readonly trainable: boolean;
  readonly init: Initialiser;
}

/** A small literal, stored in the ONNX file itself. */
export interface Constant extends Value {
  readonly kind: 'constant';
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

export type Attribute = number | string | readonly number[];
export interface Attributes {
  readonly [name: string]: Attribute | undefined;
}

/** One ONNX operator. The type parameter ties the attributes to the operator. */
export interface Node<Op extends OpName = OpName> {
  readonly op: Op;
  readonly inputs: readonly (Value | undefined)[];
  readonly attrs: AttrsOf<Op>;
  readonly outputs: readonly Value[];
  /** in the file that the graph was read from, if that names it otherwise than its first output */
  readonly name?: string;
}

/** A rewrite returns a new graph that shares every node it did not touch. */
export interface Graph {
  readonly inputs: readonly Input[];
  readonly parameters: readonly Parameter[];
  readonly constants: readonly Constant[];
  /** in topological order */
  readonly nodes: readonly Node[];
  /** public name → value; one value may have several names */
  readonly outputs: Readonly<Record<string, Value>>;
}

export const isParameter = (v: Value | undefined): v is Parameter =>
  v !== undefined && 'kind' in v && v.kind === 'parameter';

export const isInput = (v: Value): v is Input => 'kind' in v && v.kind === 'input';
