/** @file Chooses the layers whose products stay in float32, by what 8 bits do to real images and questions. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Question } from '../../datasets/dataset.js';
import { verify } from '../../graph-builder/ir/graph.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import { int8Errors } from '../../graph-builder/rewrites/int8.js';
import { writeAtomic } from '../../training-artifacts/files.js';
import { baseWeights, locateWeights } from '../../training-artifacts/graphs/base-weights.js';
import { tokenLimits } from '../../training-artifacts/graphs/emit.js';
import {
  type FrozenCompute,
  int8Copy,
  int8OptionsOf,
  type SkippedLayer,
} from '../../training-artifacts/graphs/frozen-compute.js';
import { type BuildOptions, type Plan, planVariant } from '../../training-artifacts/graphs/plan.js';
import { sha256 } from '../../training-artifacts/weights/pretrained.js';
import { batchFeeds } from '../core/batch.js';
import { floats } from '../core/session.js';
import { imagePaths, loadData, tokenise } from './data.js';
import { ImageStore } from './images.js';
import { openSession } from './ort.js';

/** Questions that the errors are measured on, each about an image of its own: training questions only. */
const QUESTIONS = 8;
/** A layer is sensitive if 8 bits cost it this many times what they cost the layer in the middle … */
const FACTOR = 2;
/** … and at most this share of all layers is left in float32. */
const SHARE = 0.1;

export type LayerErrors = ReadonlyMap<string, number>;

/** The most sensitive layers first: errors above {@link FACTOR} times the median. */
export function sensitiveLayers(errors: LayerErrors): SkippedLayer[] {
  const sorted = [...errors].sort(([, a], [, b]) => b - a);
  const median = sorted[Math.floor(sorted.length / 2)]?.[1] ?? 0;
  return sorted
    .slice(0, Math.floor(SHARE * sorted.length))
    .filter(([, error]) => error > FACTOR * median)
    .map(([name, error]) => ({ name, error }));
}

/** The first training questions on different images. */
async function calibrationQuestions(): Promise<{
  readonly questions: readonly Question[];
  readonly paths: Map<string, string>;
}> {
  const { dataset, train } = await loadData({ data: 'vqa-rad', split: 'official', frame: false });
  const byImage = new Map(train.map((q) => [q.imageId, q] as const));
  const questions = [...byImage.values()].slice(0, QUESTIONS);
  return { questions, paths: imagePaths(dataset, questions) };
}

/** ‖y₈ − y‖ / ‖y‖ of each product, the mean over questions. */
async function measure(
  plan: Plan,
  options: BuildOptions,
  compute: FrozenCompute,
  folder: string,
): Promise<LayerErrors> {
  const found = baseWeights(folder, plan, options);
  const int8 = int8Copy({ path: found.path, sha256: sha256(found.path) }, plan.base, compute.form);
  const weights = locateWeights(found.path, plan.base.parameters);
  const graph = verify(int8Errors(plan.base, int8OptionsOf(compute)));
  const model = join(folder, 'errors.onnx');
  const locate = ({ name }: { name: string }) => (int8.located.get(name) ?? weights.get(name))!;
  writeAtomic(model, writeOnnx(graph, { name: 'errors', weights: locate }));
  const session = await openSession(model, { weightsFolder: dirname(found.path), prepacking: false });
  const { questions, paths } = await calibrationQuestions();
  const images = new ImageStore(plan.config.imageSize, found.normalisation);
  await images.load(paths);
  const { samples } = tokenise(questions, { text: tokenLimits(options) });
  const sums = new Map<string, number>();
  for (const sample of samples) {
    const pixels = await images.pixelValues(sample.imageId);
    const feeds = batchFeeds([sample], () => pixels, plan.config);
    for (const [output, error] of Object.entries(await session.run(feeds))) {
      const name = output.slice('error/'.length);
      sums.set(name, (sums.get(name) ?? 0) + floats(error)[0]! / samples.length);
    }
  }
  await session.release();
  return sums;
}

/** Errors of all layers that `compute` would replace. */
export async function layerErrors(options: BuildOptions, compute: FrozenCompute): Promise<LayerErrors> {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-int8-'));
  try {
    return await measure(planVariant(options), options, compute, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
