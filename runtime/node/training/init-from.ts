/** @file Starts a training from the trained tensors of another run: two-stage training. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { UserError } from '../../../graph-builder/errors.js';
import {
  type CheckpointName,
  checkpointPath,
  hasCheckpoint,
  type TrainedTensor,
  trainedValues,
} from '../../../training-artifacts/checkpoint/checkpoint.js';
import { pieces } from '../../../training-artifacts/files.js';
import {
  type ImportedManifest,
  isImported,
  type Manifest,
  readAnyManifest,
} from '../../../training-artifacts/graphs/manifest.js';

type AnyManifest = Manifest | ImportedManifest;

export interface Started {
  /** with moments of 0 */
  readonly tensors: Map<string, TrainedTensor>;
  /** of the checkpoint's file */
  readonly sha256: string;
  readonly note: string;
}

/** RUN or RUN:CHECKPOINT; a run's best checkpoint is meant, else its last. */
function parseSource(source: string): { run: string; name: CheckpointName } {
  // one letter before the colon is a drive
  const [, run = source, given] = /^(..+):([\w-]+)$/.exec(source) ?? [];
  const name = given ?? ['best', 'last'].find((n) => hasCheckpoint(run, n));
  if (name === undefined)
    throw new UserError('the run has no checkpoint', `--init-from ${source}`, 'train it first');
  return { run, name };
}

/** What a tuning does to the graph: dropout plays no part. */
const tuningOf = (manifest: AnyManifest): string =>
  JSON.stringify(isImported(manifest) ? manifest.tuning : manifest.variant.modules, (key, value) =>
    key === 'dropout' ? undefined : value,
  );

const nameOf = (manifest: AnyManifest): string =>
  isImported(manifest) ? manifest.variant : manifest.variant.name;

/** All of the model is trained: the base plays no part. */
const isWhole = ({ parameters }: AnyManifest): boolean => parameters.trainable === parameters.total;

/** @throws {UserError} with the way that there is, unless both runs train the same tensors on the same base. */
function checkFits(own: AnyManifest, other: AnyManifest, run: string): void {
  const where = `--init-from ${run}`;
  const shapes = ({ trainable }: AnyManifest) =>
    new Map(trainable.map(({ name, shape }) => [name, shape.join(' x ')]));
  const [wanted, found] = [shapes(own), shapes(other)];
  const missing = [...wanted].find(([name, shape]) => found.get(name) !== shape);
  if (missing || wanted.size !== found.size || tuningOf(own) !== tuningOf(other)) {
    const example = missing ? `, e.g. ${missing[0]} [${missing[1]}]` : '';
    throw new UserError(
      `it trains other tensors (${nameOf(other)}) than this run (${nameOf(own)})${example}`,
      where,
      `fold it into base weights and build on them: build-graph --merge ${run} --name stage1, then ` +
        'ort-train --variant ... --weights runs/stage1/model.safetensors with the sizes and --normalisation of that run',
    );
  }
  if (own.weights.sha256 !== other.weights.sha256 && !isWhole(own))
    throw new UserError(
      'it was trained on other base weights',
      where,
      'build this run with the same --weights: its tensors mean nothing on others',
    );
}

/**
 * Tensors to start from: the trained ones of another run that trains the same.
 *
 * @param source RUN, or RUN:CHECKPOINT
 * @throws {UserError} when the other run trains something else, or has no such checkpoint.
 */
export function initFrom(source: string, manifest: AnyManifest): Started {
  const { run, name } = parseSource(source);
  const other = readAnyManifest(run);
  checkFits(manifest, other, run);
  const values = trainedValues(run, other, name);
  const zeros = (like: Float32Array) => new Float32Array(like.length);
  const tensors = [...values].map(([key, { shape, value }]): [string, TrainedTensor] => [
    key,
    { shape, value, expAvg: zeros(value), expAvgSq: zeros(value) },
  ]);
  const hash = createHash('sha256');
  for (const piece of pieces(checkpointPath(run, name))) hash.update(piece);
  const sha256 = hash.digest('hex');
  return {
    tensors: new Map(tensors),
    sha256,
    note: `starts from ${join(run, 'checkpoint', name)} (sha256 ${sha256.slice(0, 12)})`,
  };
}
