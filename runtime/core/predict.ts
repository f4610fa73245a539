/** @file Answers to many questions, batch by batch, an image encoded once. */
import type { VqaTokenizer } from '../../datasets/tokenizer.js';
import type { Answerer, AnswerOptions } from './answerer.js';
import type { Sample } from './batch.js';

/** Questions answered in one batch. */
const BATCH = 32;

export interface Prediction {
  readonly qid: string;
  readonly answer: string;
  /** exp(Σ log p) of the answer's tokens */
  readonly probability: number;
  readonly beams: readonly {
    readonly answer: string;
    readonly probability: number;
    readonly score: number;
  }[];
}

/** In the order of `samples`. `pixelValues` gives an image, float32 [3, side, side]. */
export async function predict(
  answerer: Answerer,
  samples: readonly Sample[],
  pixelValues: (imageId: string) => Float32Array | Promise<Float32Array>,
  {
    tokenizer,
    onBatch = () => {},
    ...options
  }: AnswerOptions & { readonly tokenizer: VqaTokenizer; readonly onBatch?: (questions: number) => void },
): Promise<Prediction[]> {
  // neighbours share images
  const ordered = [...samples].sort((a, b) => (a.imageId < b.imageId ? -1 : a.imageId > b.imageId ? 1 : 0));
  const predictions = new Map<string, Prediction>();
  for (let at = 0; at < ordered.length; at += BATCH) {
    const batch = ordered.slice(at, at + BATCH);
    const ids = [...new Set(batch.map((s) => s.imageId))];
    const states = await answerer.encodeImages(await Promise.all(ids.map(pixelValues)));
    const asked = batch.map((s) => ({ image: ids.indexOf(s.imageId), ids: s.questionIds }));
    const found = await answerer.answer(states, asked, options);
    found.forEach((beams, i) => {
      const described = beams.map((b) => ({
        answer: tokenizer.decode(b.ids),
        probability: Math.exp(b.logProb),
        score: b.score,
      }));
      const best = described[0]!;
      predictions.set(batch[i]!.qid, {
        qid: batch[i]!.qid,
        answer: best.answer,
        probability: best.probability,
        beams: described,
      });
    });
    onBatch(batch.length);
  }
  return samples.map((s) => predictions.get(s.qid)!);
}
