/** @file Samples → the named arrays that the graphs take. Text lengths and label counts come in buckets. */
import { hash32 } from '../../datasets/random.js';
import { padId } from '../../datasets/tokenizer.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import { type Feeds, float32, int32, int64, type Tensor } from './session.js';

export interface Sample {
  readonly qid: string;
  readonly imageId: string;
  /** [ENC] w1 … wn [SEP] */
  readonly questionIds: readonly number[];
  /** [DEC] w1 … wn [SEP] */
  readonly answerIds: readonly number[];
  /** instruction data: forms of the question, of which one is drawn at each visit */
  readonly wordings?: readonly (readonly number[])[];
}

/** Few distinct shapes keep ONNX Runtime's arena small. */
const TOKEN_BUCKET = 4;
/** A row costs two products with the vocabulary's table: the few of a small batch are not filled up to many. */
const labelBucket = (labels: number): number => (labels <= 32 ? 8 : 32);

const roundUp = (n: number, step: number): number => Math.ceil(n / step) * step;

/** ids [batch, tokens] padded to the bucket, with mask, positions and the shapes that the graphs need. */
export function textFeeds(
  kind: 'question' | 'answer',
  ids: readonly (readonly number[])[],
  { hidden, textHeads }: MissConfig,
): Record<string, Tensor> {
  const batch = ids.length;
  const tokens = roundUp(Math.max(...ids.map((row) => row.length)), TOKEN_BUCKET);
  const dims = [batch, tokens];
  const table = new Int32Array(batch * tokens).fill(padId);
  const mask = new Int32Array(batch * tokens);
  ids.forEach((row, b) => {
    table.set(row, b * tokens);
    mask.fill(1, b * tokens, b * tokens + row.length);
  });
  const positions = Array.from(table, (_, i) => i % tokens);
  return {
    [`${kind}_ids`]: { data: table, dims },
    [`${kind}_mask`]: { data: mask, dims },
    [`${kind}_position_ids`]: int32(positions, dims),
    [`${kind}_shape`]: int64([batch, tokens, textHeads, hidden / textHeads]),
    [`${kind}_token_shape`]: int64(dims),
  };
}

/** Dropout seeds of tokens, functions of (seed, epoch, qid, token): their place in the batch plays no part. */
function tokenSeeds(
  kind: 'question' | 'answer',
  samples: readonly Sample[],
  dims: readonly number[],
  words: readonly number[],
): Tensor {
  const tokens = dims[1]!;
  const data = new Int32Array(samples.length * tokens);
  samples.forEach(({ qid }, b) => {
    const key = hash32(...words, kind, qid);
    for (let t = 0; t < tokens; t++) data[b * tokens + t] = hash32(key, t) | 1;
  });
  return { data, dims };
}

/**
 * Seeds of the dropout masks of a batch; `words` are the run's seed and the epoch, `images` what the rows of images
 * in the batch are.
 */
export function seedFeeds(
  samples: readonly Sample[],
  feeds: Feeds,
  words: readonly number[],
  images: readonly string[] = distinctImages(samples),
): Feeds {
  return {
    image_seed: int32(
      images.map((id) => hash32(...words, 'image', id) | 1),
      [images.length],
    ),
    question_seed: tokenSeeds('question', samples, feeds.question_ids!.dims, words),
    answer_seed: tokenSeeds('answer', samples, feeds.answer_ids!.dims, words),
  };
}

/**
 * Labels of a batch: the state at position t predicts token t + 1. Rows that fill the bucket up weigh 0.
 *
 * `batchSize` is the number that the loss is averaged over: that of the whole batch under accumulation.
 */
export function labelFeeds(samples: readonly Sample[], tokens: number, batchSize: number): Feeds {
  const positions: number[] = [];
  const labels: number[] = [];
  samples.forEach(({ answerIds }, b) => {
    for (let t = 0; t + 1 < answerIds.length; t++) {
      positions.push(b * tokens + t);
      labels.push(answerIds[t + 1]!);
    }
  });
  const size = roundUp(labels.length, labelBucket(labels.length));
  const weights = new Float32Array(size).fill(1 / batchSize, 0, labels.length);
  const fill = new Array<number>(size - labels.length).fill(0);
  return {
    label_positions: int32([...positions, ...fill], [size]),
    labels: int32([...labels, ...fill], [size]),
    label_weights: float32(weights, [size]),
  };
}

/** Answer tokens of a batch that count in the loss. */
export const labelCount = (samples: readonly Sample[]): number =>
  samples.reduce((n, { answerIds }) => n + answerIds.length - 1, 0);

/** Normalised images → `pixel_values` [images, 3, side, side]. */
export function pixelFeed(images: readonly Float32Array[], { imageSize }: MissConfig): Tensor {
  const size = 3 * imageSize * imageSize;
  const data = new Float32Array(images.length * size);
  images.forEach((image, i) => {
    data.set(image, i * size);
  });
  return float32(data, [images.length, 3, imageSize, imageSize]);
}

/** `image_selection` [questions, images]: a row has its 1 at its question's image. */
export function imageSelection(imageOf: readonly number[], images: number): Tensor {
  const data = new Float32Array(imageOf.length * images);
  imageOf.forEach((image, question) => {
    data[question * images + image] = 1;
  });
  return float32(data, [imageOf.length, images]);
}

/** Distinct images of the samples, in order of appearance. */
export const distinctImages = (samples: readonly Sample[]): string[] => [
  ...new Set(samples.map((s) => s.imageId)),
];

/** Inputs of a batch that come from its samples alone: texts, labels and which image is whose. */
export function sampleFeeds(
  samples: readonly Sample[],
  config: MissConfig,
  batchSize = samples.length,
): Feeds {
  const images = distinctImages(samples);
  const answers = textFeeds(
    'answer',
    samples.map((s) => s.answerIds),
    config,
  );
  return {
    image_selection: imageSelection(
      samples.map((s) => images.indexOf(s.imageId)),
      images.length,
    ),
    ...textFeeds(
      'question',
      samples.map((s) => s.questionIds),
      config,
    ),
    ...answers,
    ...labelFeeds(samples, answers.answer_ids!.dims[1]!, batchSize),
  };
}

/**
 * All inputs of the training and evaluation graphs but weights, seeds and the loss scale. An image that several
 * samples share goes in once.
 */
export const batchFeeds = (
  samples: readonly Sample[],
  pixelValues: (imageId: string) => Float32Array,
  config: MissConfig,
  batchSize = samples.length,
): Feeds => ({
  pixel_values: pixelFeed(distinctImages(samples).map(pixelValues), config),
  ...sampleFeeds(samples, config, batchSize),
});
