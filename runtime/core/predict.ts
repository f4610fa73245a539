/** @file Answers to many questions, batch by batch, an image encoded once. */
import type { VqaTokenizer } from '../../datasets/tokenizer.js';
import type { Answerer, AnswerOptions, AskedQuestion } from './answerer.js';
import type { Sample } from './batch.js';
import { type Beam, beamDefaults } from './beam-search.js';
import type { CandidateIds } from './likelihood.js';
import type { Tensor } from './session.js';

/** Questions answered in one batch. */
const BATCH = 32;

export interface Prediction {
  readonly qid: string;
  readonly answer: string;
  /** its tokens after the prompt, the end token included where there is one */
  readonly answerIds: readonly number[];
  /** exp(Σ log p) of the answer's tokens, the end token included: the model's confidence in this very answer */
  readonly probability: number;
  readonly beams: readonly {
    readonly answer: string;
    readonly probability: number;
    readonly score: number;
  }[];
  /** log probability of the answer at each of the temperatures that were asked for */
  readonly tempered?: readonly number[];
}

export interface PredictOptions extends AnswerOptions {
  readonly tokenizer: VqaTokenizer;
  readonly onBatch?: (questions: number) => void;
  /** image states that are kept, [images, tokens, hidden]: then no image is encoded */
  readonly imageStates?: (imageIds: readonly string[]) => Promise<Tensor>;
  /** ranks these answers instead of writing one */
  readonly candidates?: readonly CandidateIds[];
  /** candidates that are scored in full; default: the reference's 128 */
  readonly topK?: number;
  /** also gives the answer's log probability at these temperatures */
  readonly temperatures?: readonly number[];
}

export const DEFAULT_TOP_K = 128;

/** Ranked candidates in the form of beams: what beams are ordered by is here the likelihood itself. */
async function ranked(
  answerer: Answerer,
  states: Tensor,
  asked: readonly AskedQuestion[],
  candidates: readonly CandidateIds[],
  { topK = DEFAULT_TOP_K, beams = beamDefaults.beams, ...options }: Omit<PredictOptions, 'tokenizer'>,
): Promise<Beam[][]> {
  const found = await answerer.rank(states, asked, candidates, { ...options, topK, keep: beams });
  return found.map((list) =>
    list.map(({ candidate, logProb }) => ({ ids: candidates[candidate]!, logProb, score: logProb })),
  );
}

/** In the order of `samples`. `pixelValues` gives an image, float32 [3, side, side]. */
export async function predict(
  answerer: Answerer,
  samples: readonly Sample[],
  pixelValues: (imageId: string) => Float32Array | Promise<Float32Array>,
  { tokenizer, onBatch = () => {}, imageStates, candidates, temperatures, ...options }: PredictOptions,
): Promise<Prediction[]> {
  // neighbours share images
  const ordered = [...samples].sort((a, b) => (a.imageId < b.imageId ? -1 : a.imageId > b.imageId ? 1 : 0));
  const predictions = new Map<string, Prediction>();
  for (let at = 0; at < ordered.length; at += BATCH) {
    const batch = ordered.slice(at, at + BATCH);
    const ids = [...new Set(batch.map((s) => s.imageId))];
    const states = imageStates
      ? await imageStates(ids)
      : await answerer.encodeImages(await Promise.all(ids.map(pixelValues)));
    const asked = batch.map((s) => ({ image: ids.indexOf(s.imageId), ids: s.questionIds }));
    const found = candidates
      ? await ranked(answerer, states, asked, candidates, options)
      : await answerer.answer(states, asked, options);
    const answers = found.map((beams) => beams[0]!.ids);
    const tempered = temperatures && (await answerer.temper(states, asked, answers, temperatures, options));
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
        answerIds: answers[i]!,
        probability: best.probability,
        beams: described,
        ...(tempered && { tempered: tempered[i]! }),
      });
    });
    onBatch(batch.length);
  }
  return samples.map((s) => predictions.get(s.qid)!);
}
