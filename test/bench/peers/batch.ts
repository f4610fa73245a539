/** @file A batch of our graphs as Hugging Face's BLIP takes it. */
import type { MissConfig } from '../../../graph-builder/models/config.js';
import { batchFeeds, type Sample, seedFeeds } from '../../../runtime/core/batch.js';
import { type Feeds, floats } from '../../../runtime/core/session.js';
import {
  float32Tensor,
  type LazyTensor,
  writeSafetensors,
} from '../../../training-artifacts/weights/safetensors-file.js';

const ints = (dims: readonly number[], data: Int32Array): LazyTensor => ({
  dtype: 'I32',
  shape: dims,
  bytes: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

const integers = (feeds: Feeds, name: string): Int32Array => feeds[name]!.data as Int32Array;

/** The image that each question is about, by its one in a row of `image_selection`. */
export const imageOfQuestion = ({ image_selection: selection }: Feeds): number[] => {
  const [questions, images] = selection!.dims as [number, number];
  const ones = floats(selection!);
  return Array.from({ length: questions }, (_, q) => ones.subarray(q * images, (q + 1) * images).indexOf(1));
};

/** Pixels once a question: BLIP has no other way. */
function pixelsOfQuestions(feeds: Feeds): LazyTensor {
  const { data, dims } = feeds.pixel_values!;
  const size = dims.slice(1).reduce((a, b) => a * b, 1);
  const owners = imageOfQuestion(feeds);
  const pixels = new Float32Array(owners.length * size);
  owners.forEach((image, q) => {
    pixels.set((data as Float32Array).subarray(image * size, (image + 1) * size), q * size);
  });
  return float32Tensor([owners.length, ...dims.slice(1)], pixels);
}

export function writePeerBatch(file: string, feeds: Feeds): void {
  const text = (name: string) => ints(feeds[name]!.dims, integers(feeds, name));
  const answers = integers(feeds, 'answer_ids');
  const mask = integers(feeds, 'answer_mask');
  const labels = answers.map((id, i) => (mask[i] ? id : -100));
  writeSafetensors(
    file,
    new Map([
      ['pixel_values', pixelsOfQuestions(feeds)],
      ['input_ids', text('question_ids')],
      ['attention_mask', text('question_mask')],
      ['decoder_input_ids', text('answer_ids')],
      ['decoder_attention_mask', text('answer_mask')],
      ['labels', ints(feeds.answer_ids!.dims, labels)],
    ]),
  );
}

export interface SyntheticSize {
  readonly batch: number;
  /** word pieces of each question */
  readonly tokens: number;
}

/** Questions of one length, each on an image of noise, with answers of one word. */
export function syntheticBatch({ batch, tokens }: SyntheticSize, config: MissConfig): Feeds {
  const samples = Array.from({ length: batch }, (_, b): Sample => {
    const words = Array.from({ length: tokens - 2 }, (_, t) => 2000 + ((37 * t + 101 * b) % 20_000));
    return {
      qid: `q${b}`,
      imageId: `i${b}`,
      questionIds: [30523, ...words, 102],
      answerIds: [30522, 3000 + b, 102],
    };
  });
  const pixels = () => Float32Array.from({ length: 3 * config.imageSize ** 2 }, () => 2 * Math.random() - 1);
  const feeds = batchFeeds(samples, pixels, config);
  return { ...feeds, ...seedFeeds(samples, feeds, [0, 0]) };
}
