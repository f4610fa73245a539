/** @file Answers questions: image encoder once an image, question encoder once a question, decoder per token. */
import { decId, sepId } from '../../datasets/tokenizer.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import { imageSelection, pixelFeed, textFeeds } from './batch.js';
import { type Beam, type BeamRow, beamDefaults, beamSearch, type NextTokens } from './beam-search.js';
import {
  type CandidateIds,
  type LogitStep,
  type LogitTokens,
  type RankedCandidate,
  rankCandidates,
  temperedAnswers,
} from './likelihood.js';
import { type Feeds, float32, floats, int32, type Session, type Tensor } from './session.js';

export interface InferenceSessions {
  readonly imageEncoder: Session;
  readonly questionEncoder: Session;
  readonly answerDecoder: Session;
}

export interface AnswerOptions {
  readonly beams?: number;
  readonly maxLength?: number;
  /** the decoder attends to the question's padding as the reference's does: answers then depend on the batch */
  readonly referencePadding?: boolean;
}

/** A question about the image at `image` of the encoded states. */
export interface AskedQuestion {
  readonly image: number;
  readonly ids: readonly number[];
}

type Padding = Pick<AnswerOptions, 'referencePadding'>;

/** One base with one set of trained tensors; another set needs no new session. */
export class Answerer {
  constructor(
    private readonly sessions: InferenceSessions,
    private readonly config: MissConfig,
    /** trained tensors as the serving graphs take them (alpha/rank folded into B) */
    private readonly trained: Feeds,
    private readonly special: { readonly promptId: number; readonly endId: number } = {
      promptId: decId,
      endId: sepId,
    },
  ) {}

  /** Normalised images, each [3, side, side] → image states [images, tokens, hidden]. */
  async encodeImages(images: readonly Float32Array[]): Promise<Tensor> {
    const feeds = { ...this.trained, pixel_values: pixelFeed(images, this.config) };
    return (await this.sessions.imageEncoder.run(feeds)).image_states!;
  }

  /** Beams of each question, best first. */
  async answer(
    imageStates: Tensor,
    questions: readonly AskedQuestion[],
    options: AnswerOptions = {},
  ): Promise<Beam[][]> {
    const { beams = beamDefaults.beams, maxLength = beamDefaults.maxLength } = options;
    const step = (await this.startDecoder(imageStates, questions, options))();
    return beamSearch(questions.length, step, { ...beamDefaults, ...this.special, beams, maxLength });
  }

  /** The `keep` likeliest candidates of each question, of the `topK` with the likeliest first tokens. */
  async rank(
    imageStates: Tensor,
    questions: readonly AskedQuestion[],
    candidates: readonly CandidateIds[],
    { topK, keep, ...options }: Padding & { readonly topK: number; readonly keep: number },
  ): Promise<RankedCandidate[][]> {
    const start = await this.startDecoder(imageStates, questions, options);
    const { promptId } = this.special;
    return rankCandidates(questions.length, () => withLogits(start()), candidates, { topK, keep, promptId });
  }

  /** Log probability of a given answer (end token included) to each question, at each temperature. */
  async temper(
    imageStates: Tensor,
    questions: readonly AskedQuestion[],
    answers: readonly CandidateIds[],
    temperatures: readonly number[],
    options: Padding = {},
  ): Promise<number[][]> {
    const step = withLogits((await this.startDecoder(imageStates, questions, options))());
    return temperedAnswers(step, answers, temperatures, this.special.promptId);
  }

  /** Encodes the questions; the first step of each decoder that this makes takes the prompt. */
  private async startDecoder(
    imageStates: Tensor,
    questions: readonly AskedQuestion[],
    { referencePadding = false }: Padding,
  ): Promise<() => DecoderStep> {
    const text = textFeeds(
      'question',
      questions.map((q) => q.ids),
      this.config,
    );
    const selection = imageSelection(
      questions.map((q) => q.image),
      imageStates.dims[0]!,
    );
    const cross = await this.sessions.questionEncoder.run({
      ...this.trained,
      ...text,
      image_states: imageStates,
      image_selection: selection,
    });
    const mask = referencePadding ? ones(text.question_mask!) : text.question_mask!;
    const fixed = { ...this.trained, ...cross, question_mask: mask };
    return () => this.decoderStep(fixed, questions.length);
  }

  /** The decoder with its cache: each call appends one token to each row. */
  private decoderStep(fixed: Feeds, questions: number): DecoderStep {
    const { textLayers, textHeads, hidden } = this.config;
    const layers = [...Array(textLayers).keys()];
    const empty = float32(new Float32Array(0), [questions, textHeads, 0, hidden / textHeads]);
    // a prefix is the first entries of the cache, the same for every question
    const first = (name: string) => (fixed[name] ? repeated(fixed[name], questions) : empty);
    let past: Record<string, Tensor> = Object.fromEntries(
      layers.flatMap((l) => [`past_key.${l}`, `past_value.${l}`].map((name) => [name, first(name)])),
    );
    let position = 0;
    const outputs = [
      'top_log_probs',
      'top_ids',
      ...layers.flatMap((l) => [`present_key.${l}`, `present_value.${l}`]),
    ];
    return async (rows, logits = false) => {
      const results = await this.sessions.answerDecoder.run(
        {
          ...fixed,
          ...past,
          answer_ids: int32(
            rows.map((r) => r.token),
            [rows.length, 1],
          ),
          answer_position_ids: int32(
            rows.map(() => position),
            [rows.length, 1],
          ),
          beam_parent: int32(
            rows.map((r) => r.parent),
            [rows.length],
          ),
          question_index: int32(
            rows.map((r) => r.question),
            [rows.length],
          ),
        },
        logits ? [...outputs, 'logits'] : outputs,
      );
      past = Object.fromEntries(
        layers.flatMap((l) => [
          [`past_key.${l}`, results[`present_key.${l}`]!],
          [`past_value.${l}`, results[`present_value.${l}`]!],
        ]),
      );
      position += 1;
      const { top_ids: ids, top_log_probs: logProbs } = results;
      const next = { width: ids!.dims[1]!, ids: ids!.data, logProbs: floats(logProbs) };
      return logits ? { ...next, logits: floats(results.logits) } : next;
    };
  }
}

type DecoderStep = (rows: readonly BeamRow[], logits?: boolean) => Promise<NextTokens | LogitTokens>;

const withLogits =
  (step: DecoderStep): LogitStep =>
  (rows) =>
    step(rows, true) as Promise<LogitTokens>;

const ones = ({ dims }: Tensor): Tensor =>
  int32(new Int32Array(dims.reduce((p, n) => p * n, 1)).fill(1), dims);

/** [1, …] → [rows, …] */
function repeated({ data, dims }: Tensor, rows: number): Tensor {
  const all = new Float32Array(rows * data.length);
  for (let row = 0; row < rows; row++) all.set(data as Float32Array, row * data.length);
  return float32(all, [rows, ...dims.slice(1)]);
}
