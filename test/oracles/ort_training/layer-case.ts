/** @file One linear layer as official artifacts: its checkpoint, saved by Python, is small enough to keep. */
import { join } from 'node:path';
import { uniform } from '../../../datasets/random.js';
import { GraphBuilder } from '../../../graph-builder/ir/builder.js';
import type { Graph } from '../../../graph-builder/ir/types.js';
import { type Feeds, float32 } from '../../../runtime/core/session.js';
import type { TrainedTensor } from '../../../training-artifacts/checkpoint/checkpoint.js';
import type { TrainableRun } from '../../../training-artifacts/graphs/manifest.js';
import { writeBatches } from '../../../training-artifacts/ort-training/batches.js';
import { ortTrainingFiles, writeOrtTraining } from '../../../training-artifacts/ort-training/write.js';
import { float32Tensor, writeSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';

const [INPUTS, OUTPUTS, BATCH] = [3, 2, 4];
const draw = (n: number, ...words: readonly (number | string)[]): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => 2 * uniform(...words, i) - 1);

/** Mean squared error of scale ⊙ (x·Wᵀ + bias); the bias is frozen. */
export function layerForward(): Graph {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['batch', INPUTS]);
  const y = g.input('y', 'float32', ['batch', OUTPUTS]);
  const weight = g.parameter('layer.weight', [OUTPUTS, INPUTS], 'checkpoint', true);
  const scale = g.parameter('layer.scale', [OUTPUTS], 'checkpoint', true);
  const made = g.mul(g.linear(x, weight, g.parameter('layer.bias', [OUTPUTS])), scale);
  const error = g.sub(made, y);
  return g.finish({ loss: g.reduceMean(g.mul(error, error), [0, 1]) });
}

export const layerTrainable: TrainableRun['trainable'] = [
  { name: 'layer.weight', shape: [OUTPUTS, INPUTS], init: 'checkpoint', added: false },
  { name: 'layer.scale', shape: [OUTPUTS], init: 'checkpoint', added: false },
];

export const layerTensors = (): Map<string, TrainedTensor> =>
  new Map(
    layerTrainable.map(({ name, shape }) => {
      const value = draw(
        shape.reduce((p, n) => p * n, 1),
        name,
      );
      const zeros = () => new Float32Array(value.length);
      return [name, { shape, value, expAvg: zeros(), expAvgSq: zeros() }];
    }),
  );

export const layerBatches = (count: number): Feeds[] =>
  Array.from({ length: count }, (_, i) => ({
    x: float32(draw(BATCH * INPUTS, 'x', i), [BATCH, INPUTS]),
    y: float32(draw(BATCH * OUTPUTS, 'y', i), [BATCH, OUTPUTS]),
  }));

/** The file of the frozen bias. */
export function writeLayerWeights(path: string): void {
  writeSafetensors(path, new Map([['layer.bias', float32Tensor([OUTPUTS], draw(OUTPUTS, 'bias'))]]));
}

export function writeLayerCase(folder: string, steps: number): void {
  const weights = join(folder, 'bias.safetensors');
  writeLayerWeights(weights);
  writeOrtTraining(folder, { forward: layerForward(), weights, trained: layerTensors() });
  writeBatches(join(folder, ortTrainingFiles.batches), layerBatches(steps));
}
