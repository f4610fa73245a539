/** @file Where an answer comes from: heat maps over the image's patches, and whether they tell the truth. */
import { hash32, shuffled } from '../../datasets/random.js';
import { decId } from '../../datasets/tokenizer.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import type { Answerer } from './answerer.js';
import { imageSelection, labelFeeds, textFeeds } from './batch.js';
import { type Feeds, float32, floats, type Session, type Tensor } from './session.js';

/** One number a patch, row by row, each ≥ 0. */
export interface HeatMap {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

export interface Explanation {
  /** Σ log p of the answer's tokens */
  readonly logProb: number;
  /** where the question's tokens looked, each as much as the answer looked at it */
  readonly attention: HeatMap;
  /** the same attention where more of it would make the answer likelier */
  readonly gradient: HeatMap;
}

/** An answer to explain: the question's ids, and the answer's tokens after the prompt, its end included. */
export interface ExplainedAnswer {
  readonly questionIds: readonly number[];
  readonly answerIds: readonly number[];
}

/** Adds `weight` · row of `source` to `sum`, without the class token that stands first. */
function addPatches(sum: Float32Array, source: Float32Array, row: number, weight: number): void {
  const from = row * (sum.length + 1) + 1;
  for (let p = 0; p < sum.length; p++) sum[p]! += weight * source[from + p]!;
}

/** Mean over the decoder's layers and heads and the answer's `steps`: how much it looked at each question token. */
function tokenWeights(results: Feeds, layers: number, steps: number, promptTokens: number): Float64Array {
  const weights = new Float64Array(promptTokens);
  for (let layer = 0; layer < layers; layer++) {
    const tensor = results[`answer_attention.${layer}`]!;
    const [, heads, answerTokens, questionTokens] = tensor.dims as [number, number, number, number];
    const values = floats(tensor);
    for (let h = 0; h < heads; h++) {
      for (let t = 0; t < steps; t++) {
        const from = (h * answerTokens + t) * questionTokens;
        for (let q = 0; q < promptTokens; q++) weights[q]! += values[from + q]! / (layers * heads * steps);
      }
    }
  }
  return weights;
}

/**
 * Explains one answer about one image. With P_l the cross-attention of the question's tokens q to the patches in
 * layer l (mean over heads), and w_q how much the answer's tokens looked at q in the decoder:
 *
 *   attention = mean_l Σ_q w_q · P_l[q]        gradient = Σ_l Σ_q mean_h P_l · max(0, ∂ log p(answer) / ∂ P_l)
 *
 * What question tokens tell each other between layers is left out of the first, and is in the second's gradient.
 * Source of the second: Selvaraju et al. 2017 (Grad-CAM) on cross-attention as in ALBEF (arXiv:2107.07651), here
 * summed over all layers and question tokens.
 *
 * @param session of `explainGraph`.
 * @param trained tensors in the form that training has.
 * @param imageStates [1, tokens, hidden]
 * @param promptId the decoder's begin token; default: [DEC].
 */
export async function explainAnswer(
  session: Session,
  trained: Feeds,
  config: MissConfig,
  imageStates: Tensor,
  { questionIds, answerIds }: ExplainedAnswer,
  promptId = decId,
): Promise<Explanation> {
  const whole = { qid: '', imageId: '', questionIds, answerIds: [promptId, ...answerIds] };
  const answer = textFeeds('answer', [whole.answerIds], config);
  const results = await session.run({
    ...trained,
    ...textFeeds('question', [questionIds], config),
    ...answer,
    ...labelFeeds([whole], answer.answer_ids!.dims[1]!, 1),
    image_states: imageStates,
    image_selection: imageSelection([0], 1),
    loss_scale: float32(Float32Array.of(-1), []), // gradients of log p, not of −log p
  });
  const layers = config.textLayers;
  const side = config.imageSize / config.patchSize;
  const attention = new Float32Array(side * side);
  const gradient = new Float32Array(side * side);
  const weights = tokenWeights(results, layers, answerIds.length, questionIds.length);
  for (let layer = 0; layer < layers; layer++) {
    const tensor = results[`attention.${layer}`]!;
    const [, heads, tokens] = tensor.dims as [number, number, number, number];
    const probabilities = floats(tensor);
    const positive = floats(results[`attention.${layer}.grad`]).map(
      (slope, i) => Math.max(0, slope) * probabilities[i]!,
    );
    for (let h = 0; h < heads; h++) {
      for (let q = 0; q < questionIds.length; q++) {
        addPatches(attention, probabilities, h * tokens + q, weights[q]! / (layers * heads));
        addPatches(gradient, positive, h * tokens + q, 1 / heads);
      }
    }
  }
  const losses = floats(results.token_losses).subarray(0, answerIds.length);
  const map = (values: Float32Array): HeatMap => ({ rows: side, columns: side, values });
  return {
    logProb: -losses.reduce((a, b) => a + b, 0),
    attention: map(attention),
    gradient: map(gradient),
  };
}

/** A copy of normalised pixels [3, side, side] with patches in the mean colour of the whole image. */
export function hidePatches(
  pixels: Float32Array,
  patches: Iterable<number>,
  { imageSize, patchSize }: Pick<MissConfig, 'imageSize' | 'patchSize'>,
): Float32Array {
  const hidden = pixels.slice();
  const area = imageSize * imageSize;
  const columns = imageSize / patchSize;
  const means = [0, 1, 2].map((c) => {
    let sum = 0;
    for (let i = 0; i < area; i++) sum += pixels[c * area + i]!;
    return sum / area;
  });
  for (const patch of patches) {
    const [top, left] = [Math.floor(patch / columns) * patchSize, (patch % columns) * patchSize];
    for (const [c, mean] of means.entries()) {
      for (let y = top; y < top + patchSize; y++) {
        const from = c * area + y * imageSize + left;
        hidden.fill(mean, from, from + patchSize);
      }
    }
  }
  return hidden;
}

export interface DeletionOptions {
  /** share of the patches that are hidden, in (0, 1) */
  readonly share: number;
  /** how many random choices of patches are hidden */
  readonly draws: number;
  readonly seed: number;
}

/** Probabilities of the same answer to the same question. */
export interface DeletionTest extends DeletionOptions {
  /** patches that are hidden */
  readonly patches: number;
  readonly whole: number;
  /** with the hottest patches hidden */
  readonly hottest: number;
  /** with as many random patches hidden, one number a draw */
  readonly random: readonly number[];
  /** what is lost: whole − hottest, whole − mean(random), and the range of 95% of the draws' losses */
  readonly lost: number;
  readonly lostAtRandom: number;
  readonly low: number;
  readonly high: number;
  /** share of random choices that lose at least as much, those drawn and the hottest itself: (k + 1) / (draws + 1) */
  readonly p: number;
}

/** Images that go through the encoder at once. */
const AT_ONCE = 8;

/**
 * Deletion test of a heat map: a faithful one names patches without which the answer loses more of its
 * probability than without as many random ones.
 * Source: Petsiuk et al. 2018 (RISE, arXiv:1806.07421), one step of their deletion curve against random choices.
 */
export async function deletionTest(
  answerer: Answerer,
  config: MissConfig,
  pixels: Float32Array,
  { questionIds, answerIds }: ExplainedAnswer,
  { values }: HeatMap,
  { share, draws, seed }: DeletionOptions,
): Promise<DeletionTest> {
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]!);
  const patches = Math.max(1, Math.round(share * order.length));
  const choices = [
    [],
    order.slice(0, patches),
    ...Array.from({ length: draws }, (_, i) =>
      shuffled([...values.keys()], hash32(seed, 'deletion', i)).slice(0, patches),
    ),
  ];
  const probabilities: number[] = [];
  for (let at = 0; at < choices.length; at += AT_ONCE) {
    const images = choices.slice(at, at + AT_ONCE).map((hide) => hidePatches(pixels, hide, config));
    const states = await answerer.encodeImages(images);
    const asked = images.map((_, image) => ({ image, ids: questionIds }));
    const scores = await answerer.temper(
      states,
      asked,
      asked.map(() => answerIds),
      [1],
    );
    probabilities.push(...scores.map(([logProb]) => Math.exp(logProb!)));
  }
  const [whole, hottest, ...random] = probabilities as [number, number, ...number[]];
  const losses = random.map((p) => whole - p).sort((a, b) => a - b);
  const lost = whole - hottest;
  const at = (q: number): number => losses[Math.round(q * (draws - 1))]!;
  return {
    share,
    draws,
    seed,
    patches,
    whole,
    hottest,
    random,
    lost,
    lostAtRandom: losses.reduce((a, b) => a + b, 0) / draws,
    low: at(0.025),
    high: at(0.975),
    p: (losses.filter((loss) => loss >= lost).length + 1) / (draws + 1),
  };
}
