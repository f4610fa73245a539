/**
 * @file The schema of ONNX Runtime's on-device training checkpoints, version 2.
 *
 * Source: ort_training_checkpoint.fbs and the table Tensor of ort.fbs, ONNX Runtime 1.19.
 */
import { Builder, type Offset } from 'flatbuffers';
import { UserError } from '../../graph-builder/errors.js';
import { onnxTypes } from '../../graph-builder/ir/dtypes.js';
import type { DType } from '../../graph-builder/ir/types.js';

export const IDENTIFIER = 'ODTC';
export const VERSION = 2;

/** Slots of the fields that are read or written here. */
export const slots = {
  checkpoint: { version: 0, moduleState: 1, optimizerGroups: 2 },
  moduleState: { trainable: 0, frozen: 1, isNominal: 2, hasExternalData: 3 },
  optimizerGroup: { name: 0, step: 1, learningRate: 2, states: 3 },
  optimizerState: { parameter: 0, moments: 1 },
  tensor: { name: 0, dims: 2, dataType: 3, rawData: 4 },
} as const;

/** Names of AdamW's two moments, and of the one group of parameters that the runtime knows. */
export const momentNames = ['momentum0', 'momentum1'] as const;
const GROUP = 'group0';

/** Flatbuffers address with signed 32-bit numbers. */
export const MAX_BYTES = 2 ** 31 - 1;

export interface OrtTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly length: number;
  /** raw little-endian bytes; called once, when the tensor's turn comes */
  readonly bytes: () => Uint8Array;
}

export interface OrtOptimizerState {
  /** updates made */
  readonly step: number;
  /** float32, of the parameter's shape */
  readonly moments: ReadonlyMap<string, readonly [Float32Array, Float32Array]>;
}

export interface OrtCheckpoint {
  readonly trainable: readonly OrtTensor[];
  readonly frozen: readonly OrtTensor[];
  /** absent: the runtime starts with step 0 and moments of 0 */
  readonly optimizer?: OrtOptimizerState;
}

/** A float32 tensor that is in memory already. */
export const ortTensor = (name: string, shape: readonly number[], data: Float32Array): OrtTensor => ({
  name,
  dtype: 'float32',
  shape,
  length: data.byteLength,
  bytes: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

/** A vector of int64. */
export function addDims(b: Builder, shape: readonly number[]): Offset {
  b.startVector(8, shape.length, 8);
  for (const n of [...shape].reverse()) b.addInt64(BigInt(n));
  return b.endVector();
}

function addTensor(b: Builder, { name, dtype, shape, bytes }: OrtTensor): Offset {
  const rawData = b.createByteVector(bytes());
  const dims = addDims(b, shape);
  const label = b.createString(name);
  b.startObject(5);
  b.addFieldOffset(slots.tensor.name, label, 0);
  b.addFieldOffset(slots.tensor.dims, dims, 0);
  b.addFieldInt32(slots.tensor.dataType, onnxTypes[dtype], 0);
  b.addFieldOffset(slots.tensor.rawData, rawData, 0);
  return b.endObject();
}

/** A vector of tables. */
export function addVector(b: Builder, offsets: readonly Offset[]): Offset {
  b.startVector(4, offsets.length, 4);
  for (const offset of [...offsets].reverse()) b.addOffset(offset);
  return b.endVector();
}

const addTensors = (b: Builder, tensors: readonly OrtTensor[]): Offset =>
  addVector(
    b,
    tensors.map((t) => addTensor(b, t)),
  );

function addModuleState(b: Builder, { trainable, frozen }: OrtCheckpoint): Offset {
  const parts = [addTensors(b, trainable), addTensors(b, frozen)] as const;
  b.startObject(4);
  b.addFieldOffset(slots.moduleState.trainable, parts[0], 0);
  b.addFieldOffset(slots.moduleState.frozen, parts[1], 0);
  return b.endObject();
}

function addOptimizer(
  b: Builder,
  { step, moments }: OrtOptimizerState,
  trainable: readonly OrtTensor[],
): Offset {
  const states = trainable.map(({ name, shape }) => {
    const own = momentNames.map((moment, i) => ortTensor(moment, shape, moments.get(name)![i]!));
    const [parameter, tensors] = [b.createString(name), addTensors(b, own)];
    b.startObject(2);
    b.addFieldOffset(slots.optimizerState.parameter, parameter, 0);
    b.addFieldOffset(slots.optimizerState.moments, tensors, 0);
    return b.endObject();
  });
  const [group, all] = [b.createString(GROUP), addVector(b, states)];
  b.startObject(4);
  b.addFieldOffset(slots.optimizerGroup.name, group, 0);
  b.addFieldInt64(slots.optimizerGroup.step, BigInt(step), 0n);
  b.addFieldOffset(slots.optimizerGroup.states, all, 0);
  return addVector(b, [b.endObject()]);
}

/** Room for everything: the buffer then never grows, which would copy it. */
function roomFor({ trainable, frozen, optimizer }: OrtCheckpoint): number {
  const size = ({ name, shape, length }: OrtTensor) => length + 4 * name.length + 8 * shape.length + 128;
  const sum = (tensors: readonly OrtTensor[]) => tensors.reduce((n, t) => n + size(t), 0);
  return 1024 + sum(frozen) + sum(trainable) * (optimizer ? 3 : 1);
}

/**
 * The bytes of a checkpoint. Tensors are read one at a time; in memory is the file itself.
 *
 * @throws {UserError} when the checkpoint is larger than a flatbuffer can be.
 */
export function encodeCheckpoint(checkpoint: OrtCheckpoint): Uint8Array {
  const room = roomFor(checkpoint);
  if (room > MAX_BYTES) {
    throw new UserError(
      `the checkpoint needs ${(room / 2 ** 30).toFixed(1)} GiB, the official format holds 2 GiB`,
      '--target ort-training',
      'choose a smaller --preset, or train with ort-train, which has no such limit',
    );
  }
  const b = new Builder(room);
  const moduleState = addModuleState(b, checkpoint);
  const { optimizer, trainable } = checkpoint;
  const groups = optimizer && addOptimizer(b, optimizer, trainable);
  b.startObject(4);
  b.addFieldInt32(slots.checkpoint.version, VERSION, 0);
  b.addFieldOffset(slots.checkpoint.moduleState, moduleState, 0);
  if (groups !== undefined) b.addFieldOffset(slots.checkpoint.optimizerGroups, groups, 0);
  b.finish(b.endObject(), IDENTIFIER);
  return b.asUint8Array();
}
