/** @file Where an answer comes from, in the browser: the heat map over the image, and whether it tells the truth. */
import type { RgbImage } from '../../datasets/images/resize.js';
import { verify } from '../../graph-builder/ir/graph.js';
import { explainGraph } from '../../graph-builder/variant/explain.js';
import {
  type LocatedWeight,
  modelBytes,
  storedWeights,
} from '../../training-artifacts/graphs/model-bytes.js';
import { overlay } from '../core/colour-map.js';
import { type DeletionTest, deletionTest, type Explanation, explainAnswer } from '../core/explain.js';
import { predict } from '../core/predict.js';
import { float32, type Session } from '../core/session.js';
import type { LoadedAdapter, Model } from './model.js';
import { SafetensorsBlob } from './safetensors-blob.js';

/** Patches hidden, and random choices of as many: 19 or more can be beyond chance at 5%. */
const DELETION = { share: 0.2, draws: 20, seed: 0 };

export interface ExplainedAnswer extends Explanation {
  readonly answer: string;
  readonly probability: number;
  /** of the gradient-weighted map */
  readonly deletion: DeletionTest;
}

/** The explaining graph of an adapter, made here and opened over the model's weights. */
async function openExplaining(model: Model, { variant }: LoadedAdapter): Promise<Session> {
  const located = new Map<string, LocatedWeight>();
  for (const [file, blob] of model.weights)
    for (const [name, weight] of storedWeights(file, (await SafetensorsBlob.open(blob, file)).header))
      located.set(name, weight);
  const graph = verify(explainGraph(model.manifest.config, variant));
  return model.openBytes(modelBytes(graph, 'explain', located));
}

/**
 * Answers again and explains the answer: heat maps of the question's attention to the image, and the deletion test of
 * the gradient-weighted one. Call it in turn.
 *
 * @param planes uint8 [3, side, side]
 */
export async function explainPlanes(
  model: Model,
  planes: Uint8Array,
  question: string,
  adapter: LoadedAdapter,
): Promise<ExplainedAnswer> {
  const { config, text } = model.manifest;
  const { ids } = model.tokenizer.encodeQuestion(question, text.maxQuestionTokens);
  const pixels = model.pixelValues(planes);
  const sample = { qid: 'question', imageId: 'image', questionIds: ids, answerIds: [] };
  const session = await openExplaining(model, adapter);
  try {
    return await model.withTensors(
      adapter.tensors,
      async (answerer) => {
        const [found] = await predict(answerer, [sample], () => pixels, { tokenizer: model.tokenizer });
        const { answer, probability, answerIds } = found!;
        const trained = [...adapter.tensors].map(([name, { shape, data }]) => [name, float32(data, shape)]);
        const states = await answerer.encodeImages([pixels]);
        const asked = { questionIds: ids, answerIds };
        const maps = await explainAnswer(session, Object.fromEntries(trained), config, states, asked);
        const deletion = await deletionTest(answerer, config, pixels, asked, maps.gradient, DELETION);
        return { answer, probability, ...maps, deletion };
      },
      adapter.variant,
    );
  } finally {
    await session.release();
  }
}

/** The image with the gradient-weighted map over it. */
export const paintHeat = ({ data, width, height }: RgbImage, { gradient }: Explanation): RgbImage => ({
  data: overlay(data, width, height, gradient),
  width,
  height,
});
