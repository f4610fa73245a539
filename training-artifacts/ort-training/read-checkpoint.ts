/** @file Reads what `CheckpointState.save_checkpoint` of Python's onnxruntime-training wrote. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ByteBuffer } from 'flatbuffers';
import { FileError } from '../../graph-builder/errors.js';
import { onnxTypes } from '../../graph-builder/ir/dtypes.js';
import type { TrainedTensor } from '../checkpoint/checkpoint.js';
import { asFileError, readFile } from '../files.js';
import type { TrainableRun } from '../graphs/manifest.js';
import { IDENTIFIER, MAX_BYTES, momentNames, slots, VERSION } from './checkpoint-format.js';
import { FlatTable } from './flat-table.js';

/** What goes on from an official checkpoint. */
export interface OrtTraining {
  readonly tensors: Map<string, TrainedTensor>;
  /** optimizer updates made; 0 where the file has no optimizer state */
  readonly step: number;
  /** false: it was saved without `include_optimizer_state=True`; the moments are 0 */
  readonly hasMoments: boolean;
}

const IDENTIFIER_AT = 4;

/** Whether a file is an official checkpoint. @throws {FileError} when it cannot be read. */
export function isOrtCheckpoint(file: string): boolean {
  let fd: number | undefined;
  try {
    fd = openSync(file, 'r');
    const head = Buffer.alloc(IDENTIFIER_AT + IDENTIFIER.length);
    return readSync(fd, head) === head.length && head.toString('latin1', IDENTIFIER_AT) === IDENTIFIER;
  } catch (error) {
    throw asFileError(error, file, 'read');
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function sizeOf(file: string): number {
  const fd = openSync(file, 'r');
  try {
    return fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
}

/** Name, shape and bytes of the float32 tensors that one reader asks for. */
class Tensors {
  private readonly byName: ReadonlyMap<string, FlatTable>;

  constructor(
    tables: readonly FlatTable[],
    private readonly file: string,
  ) {
    this.byName = new Map(tables.map((t) => [t.string(slots.tensor.name), t]));
  }

  /** @throws {FileError} when it is missing or has another type, shape or size. */
  float32(name: string, shape: readonly number[], of = name): Float32Array {
    const tensor = this.byName.get(name);
    const fail = (what: string, remedy = 'use a checkpoint of this run'): never => {
      throw new FileError(what, this.file, remedy);
    };
    if (!tensor) return fail(`no tensor ${of}`);
    const dims = tensor.int64s(slots.tensor.dims);
    const type = tensor.int32(slots.tensor.dataType);
    if (type !== onnxTypes.float32 || dims.join() !== shape.join())
      return fail(`${of} has the type ${type} and shape [${dims}], the run needs float32 [${shape}]`);
    const bytes = tensor.bytes(slots.tensor.rawData);
    const wanted = shape.reduce((p, n) => p * n, 4);
    if (bytes.length !== wanted)
      return fail(`${of} has ${bytes.length} bytes, not ${wanted}`, 'save or copy the checkpoint again');
    return new Float32Array(new Uint8Array(bytes).buffer); // a copy: in the file they may be unaligned
  }
}

/** The root table. @throws {FileError} when the file is not a checkpoint of the version that is known. */
function openCheckpoint(file: string): FlatTable {
  if (!isOrtCheckpoint(file)) {
    throw new FileError(
      'not a checkpoint of onnxruntime-training',
      file,
      'give a file that CheckpointState.save_checkpoint wrote',
    );
  }
  if (sizeOf(file) > MAX_BYTES)
    throw new FileError('the checkpoint is larger than 2 GiB', file, 'save it without the optimizer state');
  const root = FlatTable.root(new ByteBuffer(readFile(file)), file);
  const version = root.int32(slots.checkpoint.version);
  if (version === VERSION) return root;
  throw new FileError(
    `checkpoint version ${version}, ${VERSION} is known`,
    file,
    'save it with onnxruntime-training 1.19.2',
  );
}

function trainableTensors(root: FlatTable, file: string): Tensors {
  const state = root.table(slots.checkpoint.moduleState);
  const { trainable, isNominal, hasExternalData } = slots.moduleState;
  if (!state || state.bool(isNominal))
    throw new FileError('the checkpoint holds no weights', file, 'save a complete one, not a nominal one');
  if (state.bool(hasExternalData))
    throw new FileError('its tensors lie in a second file', file, 'save it without the optimizer state');
  return new Tensors(state.tables(trainable), file);
}

/** Moments by parameter, and the step; undefined where the optimizer was not saved. */
function optimizerOf(root: FlatTable, file: string) {
  const group = root.tables(slots.checkpoint.optimizerGroups)[0];
  if (!group) return undefined;
  const { step, states } = slots.optimizerGroup;
  const { parameter, moments } = slots.optimizerState;
  const byParameter = group
    .tables(states)
    .map((s) => [s.string(parameter), new Tensors(s.tables(moments), file)] as const);
  const made = group.int64(step);
  if (!Number.isSafeInteger(made) || made < 0)
    throw new FileError(`damaged: ${made} updates`, file, 'save or copy the checkpoint again');
  return { step: made, moments: new Map(byParameter) };
}

/**
 * Trained tensors of an official checkpoint, with AdamW's moments if they were saved.
 *
 * @example readOrtCheckpoint('runs/lora-r8/ort-training/trained', readAnyManifest('runs/lora-r8'))
 * @throws {FileError} when the file is damaged, of another version or of another run.
 */
export function readOrtCheckpoint(file: string, { trainable }: Pick<TrainableRun, 'trainable'>): OrtTraining {
  const root = openCheckpoint(file);
  const values = trainableTensors(root, file);
  const optimizer = optimizerOf(root, file);
  const none = new Tensors([], file);
  const tensors = trainable.map(({ name, shape }): [string, TrainedTensor] => {
    const value = values.float32(name, shape);
    const moment = (i: 0 | 1) => {
      if (!optimizer) return new Float32Array(value.length);
      const own = optimizer.moments.get(name) ?? none;
      return own.float32(momentNames[i], shape, `${name}, ${momentNames[i]}`);
    };
    return [name, { shape, value, expAvg: moment(0), expAvgSq: moment(1) }];
  });
  return { tensors: new Map(tensors), step: optimizer?.step ?? 0, hasMoments: optimizer !== undefined };
}
