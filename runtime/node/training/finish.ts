/** @file What a run folder gets from its training: curves, and the adapter in PEFT's format. */
import { join } from 'node:path';
import { writeImportedAdapter } from '../../../training-artifacts/adapters/imported-adapter.js';
import { writeAdapterFolder } from '../../../training-artifacts/adapters/peft-folder.js';
import { type CheckpointName, trainedValues } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { isImported, readAnyManifest } from '../../../training-artifacts/graphs/manifest.js';
import { type RunMetrics, writeCurves } from '../plots.js';
import { logFolder, readLog } from './log.js';

/** The log of a run as curves take it: losses in nats an answer token. */
export function readMetrics(run: string, name = run): RunMetrics {
  const lines = readLog(run);
  const steps = lines
    .filter((line) => line.type === 'step')
    .map(({ step, epoch, tokenLoss, lr }) => ({ step, epoch, loss: tokenLoss, lr }));
  const evaluations = lines
    .filter((line) => line.type === 'evaluation')
    .map(({ step, epoch, accuracy, yesNo, notYesNo, loss }) => ({
      step,
      epoch,
      accuracy,
      closed: yesNo,
      open: notYesNo,
      ...(loss !== undefined && { loss }),
    }));
  return { name, steps, evaluations };
}

/** Lowest loss a token that label smoothing ε over V words allows: the entropy of the smoothed target. */
export function smoothingFloor({
  labelSmoothing: e,
  vocab,
}: {
  labelSmoothing: number;
  vocab: number;
}): number {
  const target = 1 - e + e / vocab;
  return -(target * Math.log(target) + (vocab - 1) * (e / vocab) * (e > 0 ? Math.log(e / vocab) : 0));
}

export async function drawCurves(run: string): Promise<string> {
  const path = join(logFolder(run), 'curves.svg');
  const manifest = readAnyManifest(run);
  const [name, floor] = isImported(manifest)
    ? [manifest.variant, {}]
    : [manifest.variant.name, { lossFloor: smoothingFloor(manifest.config) }];
  await writeCurves(readMetrics(run, name), path, { ...floor, title: run });
  return path;
}

/** Writes the adapter in PEFT's format: `adapter/` from the best checkpoint, unless told otherwise. */
export function exportAdapter(
  run: string,
  folder = join(run, 'adapter'),
  checkpoint: CheckpointName | 'base' | 'auto' = 'auto',
): string {
  const manifest = readAnyManifest(run);
  const values = [...trainedValues(run, manifest, checkpoint)];
  const tensors = new Map(values.map(([name, { shape, value }]) => [name, { shape, data: value }]));
  if (isImported(manifest)) {
    writeImportedAdapter(folder, manifest.tuning, tensors, manifest.source.file);
    return folder;
  }
  writeAdapterFolder(folder, {
    variant: manifest.variant,
    tensors,
    baseModel: manifest.weights.source,
    textHeads: manifest.config.textHeads,
  });
  return folder;
}
