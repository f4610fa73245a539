/** @file ONNX → IR. With write.ts the only place that knows protobuf. */
import onnxProto, { type onnx } from 'onnx-proto';
import { FileError } from '../errors.js';
import type { Graph } from '../ir/types.js';
import { importGraph, type ReadOptions } from './import/graph.js';
import { readOwn } from './own.js';
import { bad } from './tensors.js';
import { type ExternalTensor, PRODUCER } from './write.js';

export interface ReadModel {
  readonly graph: Graph;
  /** where the bytes of frozen parameters lie that are in another file */
  readonly weights: ReadonlyMap<string, ExternalTensor>;
  /** the little-endian bytes of the parameters that are in the file itself (`inlineWeights`) */
  readonly inline: ReadonlyMap<string, Uint8Array>;
  readonly metadata: Readonly<Record<string, string>>;
}

const OLDEST_OPSET = 13;
const NEWEST_OPSET = 23;

/** The model's ai.onnx opset, and nothing in the file that reading would lose. */
function checkedOpset(model: onnx.ModelProto, file: string): number {
  const opset = Number(model.opsetImport.find(({ domain }) => !domain || domain === 'ai.onnx')?.version ?? 0);
  if (opset < OLDEST_OPSET || opset > NEWEST_OPSET) {
    const remedy = `export it with an opset from ${OLDEST_OPSET} to ${NEWEST_OPSET}, e.g. opset_version=18`;
    throw bad(`the model has ai.onnx opset ${opset}`, file, remedy);
  }
  const local = model.functions[0];
  if (local) {
    const remedy = 'inline them: onnx.inliner.inline_local_functions(model)';
    throw bad(`the model has functions of its own, e.g. ${local.name}`, file, remedy);
  }
  if (model.graph?.sparseInitializer?.length) {
    throw bad('the model has sparse initialisers', file, 'export its weights as dense tensors');
  }
  return opset;
}

/**
 * Reads an ONNX model: one that {@link writeOnnx} made, or one exported elsewhere, e.g. from PyTorch.
 *
 * What a foreign model computes from shapes is computed while reading; its other operators become those of the
 * registry. Names of weights, inputs and outputs stay; opsets 13 to 23 are read.
 *
 * @example readOnnx(bytes, 'bert.onnx', { inlineWeights: true }).graph.parameters
 * @throws {FileError} naming the first node, operator, attribute or tensor type that cannot be read.
 */
export function readOnnx(bytes: Uint8Array, file: string, options: ReadOptions = {}): ReadModel {
  try {
    return readModel(onnxProto.onnx.ModelProto.decode(bytes), file, options);
  } catch (cause) {
    if (cause instanceof FileError) throw cause;
    // protobuf's errors, shapes that do not fit, missing fields: all are the file's fault
    throw new FileError('not an ONNX model, or damaged', file, 'write it again', { cause });
  }
}

function readModel(model: onnx.ModelProto, file: string, options: ReadOptions): ReadModel {
  const proto = model.graph;
  if (!proto) throw bad('the model has no graph', file);
  const opset = checkedOpset(model, file);
  const metadata = Object.fromEntries((model.metadataProps ?? []).map(({ key, value }) => [key!, value!]));
  if (model.producerName !== PRODUCER) return { ...importGraph(proto, file, opset, options), metadata };
  const trainable = new Set<string>(JSON.parse(metadata.trainable ?? '[]'));
  return { ...readOwn(proto, file, trainable), inline: new Map(), metadata };
}
