/** @file A graph as an ONNX model over stored weights. Needs no disk: pages in a browser use it, too. */
import type { Graph } from '../../graph-builder/ir/types.js';
import { type ExternalTensor, type WriteOptions, writeOnnx } from '../../graph-builder/onnx/write.js';
import { halfWeights } from '../../graph-builder/rewrites/half-weights.js';
import type { SafetensorsDType, SafetensorsHeader } from '../weights/safetensors.js';

/** Types that frozen weights may be stored in. */
export const storedTypes = ['F32', 'F16'] as const satisfies readonly SafetensorsDType[];
export type StoredType = (typeof storedTypes)[number];

/** Where a weight lies, and in which type. */
export interface StoredWeight extends ExternalTensor {
  readonly dtype: StoredType;
}

/** A weight of any type, e.g. an 8-bit copy. */
export type LocatedWeight = ExternalTensor & { readonly dtype?: StoredType };

/** By reference name. */
export type StoredWeights = ReadonlyMap<string, StoredWeight>;

const isStored = (dtype: SafetensorsDType): dtype is StoredType => storedTypes.some((type) => type === dtype);

/** What a safetensors file holds that graphs can read. `location`: its bare name. */
export const storedWeights = (location: string, { tensors }: SafetensorsHeader): StoredWeights =>
  new Map(
    [...tensors].flatMap(([name, { offset, length, dtype }]) =>
      isStored(dtype) ? [[name, { location, offset, length, dtype }] as const] : [],
    ),
  );

/** The bytes of a graph. Same graph and weights, same bytes. */
export const modelBytes = (
  graph: Graph,
  name: string,
  weights: ReadonlyMap<string, LocatedWeight>,
  options: Pick<WriteOptions, 'defaults'> = {},
): Uint8Array =>
  writeOnnx(
    halfWeights(graph, (p) => weights.get(p.name)?.dtype === 'F16'),
    { ...options, name, weights: (p) => weights.get(p.name)! },
  );
