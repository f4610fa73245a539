/** @file The graph that explains a run's answers: made when it is first asked for, kept in the user's cache. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../datasets/package-root.js';
import { verify } from '../../graph-builder/ir/graph.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import { explainGraph } from '../../graph-builder/variant/explain.js';
import { readJson, writeAtomic } from '../files.js';
import { cacheFolder } from '../weights/cache.js';
import { locateWeights } from './base-weights.js';
import { type Manifest, weightsPath } from './manifest.js';

/** The graph's bytes; it names the run's file of frozen weights, and takes trained tensors as inputs. */
export function explainModel(run: string, manifest: Manifest): Uint8Array {
  const graph = verify(explainGraph(manifest.config, manifest.variant));
  const frozen = graph.parameters.filter((p) => !p.trainable);
  const weights = locateWeights(weightsPath(run, manifest), frozen);
  return writeOnnx(graph, { name: 'explain', weights: (p) => weights.get(p.name)! });
}

/**
 * Path of the graph. It lies in the cache and not in the run: a run that cannot be written is explained, too.
 *
 * @throws {FileError} when the base weights are missing or the cache cannot be written.
 */
export function explainModelPath(run: string, manifest: Manifest): string {
  const { version } = readJson(join(packageRoot(), 'package.json')) as { version: string };
  const { weights, config, variant } = manifest;
  const made = JSON.stringify([version, weights.file, weights.sha256, config, variant.modules]);
  const key = createHash('sha256').update(made).digest('hex').slice(0, 24);
  const path = join(cacheFolder(), 'graphs', `explain-${key}.onnx`);
  if (!existsSync(path)) writeAtomic(path, explainModel(run, manifest));
  return path;
}
