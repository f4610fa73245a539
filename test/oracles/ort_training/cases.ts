/** @file Small models of every method as official artifacts, with batches and the losses of our own trainer. */
import { join } from 'node:path';
import { uniform } from '../../../datasets/random.js';
import type { Graph } from '../../../graph-builder/ir/types.js';
import { lossGraph } from '../../../graph-builder/models/miss.js';
import { parseVariant } from '../../../graph-builder/variant/parse.js';
import { applyVariant } from '../../../graph-builder/variant/variant.js';
import { adamWDefaults } from '../../../runtime/core/adamw.js';
import { batchFeeds, type Sample } from '../../../runtime/core/batch.js';
import { type Feeds, floats } from '../../../runtime/core/session.js';
import { INITIAL_LOSS_SCALE, Trainer } from '../../../runtime/core/trainer.js';
import type { TrainedTensor } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { writeBatches } from '../../../training-artifacts/ort-training/batches.js';
import { ortTrainingFiles, writeOrtTraining } from '../../../training-artifacts/ort-training/write.js';
import { goldenConfig, openGraph, readTensors, weightsFile } from '../../support/golden.js';
import { gradientGraph } from '../../support/models.js';
import { variantTensors } from '../../support/variants.js';

export interface OrtCase {
  readonly variant: string;
  readonly placement: string;
}

const two = (variant: string, first: string): OrtCase[] =>
  [first, 'T/T/P'].map((placement) => ({ variant, placement }));

/** Every method at two placements; `full` has one. */
export const ortCases: readonly OrtCase[] = [
  ...two('lora-r8', 'F/P/P'),
  ...two('dora-r4', 'F/P/P'),
  ...two('ia3', 'F/P/P'),
  ...two('prefix-n10', 'F/F/P'),
  ...two('ptv2-n10', 'F/F/P'),
  { variant: 'full', placement: 'T/T/T' },
];

export const caseName = ({ variant, placement }: OrtCase): string => `${variant} ${placement}`;
export const LEARNING_RATE = 1e-3;
export const STEPS = 20;

const [ENC, DEC, SEP, FIRST_WORD] = [96, 95, 2, 3];

/** With a gradient of 1e-8 by chance, AdamW's first step would turn rounding into a step: this seed has none. */
const SEED = 1;

/** A batch of 4 samples of mixed lengths on 3 images, a function of its number. */
function batch(number: number): Feeds {
  const draw = (what: string, i: number, n: number) => Math.floor(n * uniform(SEED, number, what, i));
  const words = (what: string, at: number, count: number) =>
    Array.from({ length: count }, (_, i) => FIRST_WORD + draw(what, at * 20 + i, DEC - FIRST_WORD));
  const samples = [0, 1, 2, 3].map(
    (i): Sample => ({
      qid: `${number}-${i}`,
      imageId: String(i % 3),
      questionIds: [ENC, ...words('question', i, 2 + draw('long', i, 6)), SEP],
      answerIds: [DEC, ...words('answer', i, 1 + draw('longer', i, 3)), SEP],
    }),
  );
  const size = 3 * goldenConfig.imageSize ** 2;
  const pixels = (id: string) =>
    Float32Array.from(
      { length: size },
      (_, i) => 2 * uniform(SEED, number, 'pixels', Number(id) * size + i) - 1,
    );
  return batchFeeds(samples, pixels, goldenConfig);
}

export const caseBatches = (count = STEPS): Feeds[] => Array.from({ length: count }, (_, i) => batch(i));

/** The loss graph of a case, without dropout. */
export function forwardOf({ variant, placement }: OrtCase): Graph {
  const base = lossGraph(goldenConfig);
  return applyVariant(base, parseVariant(variant, base.parameters, { placement }), 'evaluation');
}

/** Golden values of the trained tensors, adapters away from their initial ones; moments 0. */
export function caseTensors(graph: Graph, { variant }: OrtCase): Map<string, TrainedTensor> {
  const adapters = variant === 'full' ? {} : variantTensors(variant);
  const values = { ...readTensors('blip/weights.safetensors'), ...adapters };
  return new Map(
    graph.parameters
      .filter((p) => p.trainable)
      .map(({ name }) => {
        const value = floats(values[name]).slice();
        const zeros = () => new Float32Array(value.length);
        return [name, { shape: values[name]!.dims, value, expAvg: zeros(), expAvgSq: zeros() }];
      }),
  );
}

/** Losses of our trainer, the i-th before the i-th update; the tensors are trained in place. */
export async function ownLosses(
  which: OrtCase,
  batches: readonly Feeds[],
  tensors = caseTensors(forwardOf(which), which),
  step = 0,
): Promise<number[]> {
  const session = await openGraph(gradientGraph(goldenConfig, which.variant, { placement: which.placement }));
  const options = { ...adamWDefaults, weightDecay: 0.05, clip: 0 };
  const trainer = new Trainer(session, tensors, options, { step, lossScale: INITIAL_LOSS_SCALE });
  const losses: number[] = [];
  for (const feeds of batches) losses.push((await trainer.step([feeds], LEARNING_RATE)).loss);
  await session.release();
  return losses;
}

/** Writes the artifacts and the batches of a case. */
export function writeCase(folder: string, which: OrtCase, batches: readonly Feeds[]): void {
  const forward = forwardOf(which);
  writeOrtTraining(folder, { forward, weights: weightsFile, trained: caseTensors(forward, which) });
  writeBatches(join(folder, ortTrainingFiles.batches), batches);
}
