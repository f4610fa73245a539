/** @file Run folders of the golden model, as if trained to the golden adapters. */
import { join } from 'node:path';
import type { Answerer, AskedQuestion } from '../../runtime/core/answerer.js';
import type { ServedBase } from '../../runtime/core/served-model.js';
import { floats, type Tensor } from '../../runtime/core/session.js';
import { openSession } from '../../runtime/node/ort.js';
import {
  initialTensors,
  type TrainedTensor,
  writeCheckpoint,
} from '../../training-artifacts/checkpoint/checkpoint.js';
import { emitVariant } from '../../training-artifacts/graphs/emit.js';
import { storedWeights } from '../../training-artifacts/graphs/model-bytes.js';
import { withSafetensors } from '../../training-artifacts/weights/safetensors-file.js';
import { goldenConfig, readTensors, weightsFile } from './golden.js';
import { variantTensors } from './variants.js';

const progress = { best: null, sinceBest: 0, evaluated: -1 };
const state = { step: 1, batches: 1, lossScale: 1, ...progress, options: {}, environment: {} };

/** Adapters have their golden values, the weights of T modules are 2% larger than the base's. */
export function goldenRun(folder: string, variant: string, placement: string): string {
  const run = join(folder, `${variant}-${placement.toLowerCase().replaceAll('/', '')}`);
  const options = { preset: 'miss-tiny', sizes: goldenConfig, weights: weightsFile };
  const manifest = emitVariant({ ...options, variant, placement }, run);
  const golden = variant === 'full' ? {} : variantTensors(variant);
  const trained = [...initialTensors(run, manifest)].map(([name, t]): [string, TrainedTensor] => {
    const value = golden[name] ? floats(golden[name]) : t.value.map((v) => 1.02 * v);
    return [name, { ...t, value }];
  });
  writeCheckpoint(run, 'last', new Map(trained), state);
  return run;
}

export const goldenSpecial = { promptId: 95, endId: 2 };

/** The golden base for a served model; sessions are counted. */
export function goldenBase(): ServedBase & { readonly opened: string[]; readonly released: string[] } {
  const [opened, released]: [string[], string[]] = [[], []];
  const name = weightsFile.slice(weightsFile.lastIndexOf('/') + 1);
  return {
    opened,
    released,
    config: goldenConfig,
    special: goldenSpecial,
    weights: withSafetensors(weightsFile, ({ header }) => storedWeights(name, header)),
    async open(role, graph) {
      const weightsFolder = weightsFile.slice(0, -name.length - 1);
      const session = await openSession(graph, { weightsFolder, threads: 1 });
      opened.push(role);
      const release = () => {
        released.push(role);
        return session.release();
      };
      return { ...session, release };
    },
  };
}

const inputs = readTensors('blip/inputs.safetensors');
const side = 3 * goldenConfig.imageSize ** 2;

/** Pixels of the golden batch: the same arrays at each use. */
export const goldenImages: readonly Float32Array[] = [0, 1, 2, 3].map((i) =>
  floats(inputs.pixel_values).slice(i * side, (i + 1) * side),
);

/** Its questions, of different lengths, each about its own image. */
export const goldenQuestions: readonly AskedQuestion[] = goldenImages.map((_, image) => {
  const tokens = inputs.input_ids!.dims[1]!;
  const row = (t: Tensor) => Array.from(t.data, Number).slice(image * tokens, (image + 1) * tokens);
  const ids = row(inputs.input_ids!).filter((_id, at) => row(inputs.attention_mask!)[at] === 1);
  return { image, ids };
});

/** Beams of the golden batch. */
export const goldenBeams = async (answerer: Answerer) =>
  answerer.answer(await answerer.encodeImages(goldenImages), goldenQuestions);
