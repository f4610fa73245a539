/** @file What the flags of `ort-eval` and `ort-answer` mean, checked. */
import { type MeasureName, measureNames } from '../../../../datasets/scoring/measure.js';
import { UserError } from '../../../../graph-builder/errors.js';
import type { DeletionOptions } from '../../../core/explain.js';
import type { DataChoice } from '../../trained-on.js';
import { absolute } from '../data/read-flags.js';
import { checkCount } from '../main.js';
import type { EvalFlags } from '../ort-eval.js';
import { type ProgressBar, progressBar } from '../progress-bar.js';

/** @throws {UserError} unless 1 to 8 beams are asked for: the decoder graph returns no more. */
export function checkBeams(beams: number): number {
  if (Number.isInteger(beams) && beams >= 1 && beams <= 8) return beams;
  throw new UserError(`${beams} beams`, '--beams', 'choose 1 to 8');
}

/** Flags of rank mode, the same in both programs. */
export const rankFlags = {
  mode: {
    choices: ['generate', 'rank'] as const,
    default: 'generate' as const,
    describe: 'rank: choose from --candidates by likelihood instead of writing an answer',
  },
  candidates: {
    type: 'string',
    describe: 'with --mode rank: a file of answers (a line each, or a JSON list), or train',
  },
  'top-k': {
    type: 'number',
    default: 128,
    describe: 'with --mode rank: candidates scored in full, those with the likeliest first tokens',
  },
} as const;

/** Rank mode's options. @throws {UserError} when mode and candidates do not go together. */
export function rankOptions(flags: {
  readonly mode: 'generate' | 'rank';
  readonly candidates?: string | undefined;
  readonly topK: number;
}): { candidates: string; topK: number } | undefined {
  const { mode, candidates } = flags;
  const topK = checkCount(flags.topK, '--top-k');
  if (mode === 'rank') {
    if (candidates !== undefined) return { candidates, topK };
    const remedy = 'give a file with an answer a line, or train for the answers of the training questions';
    throw new UserError('rank mode needs answers to choose from', '--candidates', remedy);
  }
  if (candidates === undefined) return undefined;
  throw new UserError('candidates are for rank mode', '--candidates', 'add --mode rank');
}

/** A bar on standard error, if that is a terminal. */
export const answerBar = (): ProgressBar => progressBar('answering');

/** @throws {UserError} for flags that make no sense together. */
export function checkFlags({
  compare,
  predictions,
  truth,
  flips,
  abstainRisk,
  calibrate,
  mode,
}: EvalFlags): void {
  const refuse = (what: string, where: string, remedy: string): never => {
    throw new UserError(what, where, remedy);
  };
  if (compare && compare.length !== 2) refuse(`${compare.length} to compare`, '--compare', 'give two');
  if (compare && predictions !== undefined)
    refuse('two things to do', '--compare, --predictions', 'choose one of them');
  if (predictions !== undefined && truth === undefined)
    refuse('predictions without reference answers', '--truth', 'give vqa-rad, or a file with qid and answer');
  if (truth !== undefined && predictions === undefined && !compare)
    refuse('reference answers without predictions', '--truth', 'add --predictions FILE');
  if (flips !== undefined && !compare) refuse('nothing is compared', '--flips', 'add --compare A B');
  if (!(abstainRisk > 0 && abstainRisk < 1))
    refuse(`a risk of ${abstainRisk}`, '--abstain-risk', 'give a share between 0 and 1, e.g. 0.2');
  if (calibrate && mode === 'rank')
    refuse('only answers that are written are calibrated', '--calibrate', 'leave --mode rank out');
}

/** What the flags say of how questions are answered; data and split are those of the run's training unless given. */
export async function askOptions(flags: EvalFlags, run?: string) {
  const { on, checkpoint, referencePadding } = flags;
  const { trainedOn } = await import('../../trained-on.js');
  const { readOptions } = await import('../../data.js');
  const chosen: DataChoice = flags.data || run === undefined ? flags : trainedOn(run, flags);
  const { data = 'vqa-rad', split = 'official', ...columns } = chosen;
  const limit = checkCount(flags.limit, '--limit');
  const threads = checkCount(flags.threads, '--threads');
  return {
    ...readOptions(columns),
    data,
    split: absolute(split),
    on,
    checkpoint,
    beams: checkBeams(flags.beams),
    referencePadding,
    ...(limit && { limit }),
    ...(threads && { threads }),
    ...rankOptions(flags),
  };
}

export const measuresOf = ({ metrics }: EvalFlags): readonly MeasureName[] =>
  (metrics as MeasureName[] | undefined) ?? measureNames;

/** The explanation that `ort-answer` was asked for. @throws {UserError} for a file or numbers that do not fit. */
export function checkExplain(flags: {
  readonly explain?: string | undefined;
  readonly hide: number;
  readonly draws: number;
  readonly seed: number;
}): (DeletionOptions & { readonly png: string }) | undefined {
  const { explain, hide, seed } = flags;
  if (explain === undefined) return undefined;
  const png = explain === '' ? 'explanation.png' : explain;
  if (!/\.png$/i.test(png)) throw new UserError(`'${png}' is no PNG`, '--explain', 'end the name with .png');
  if (!(hide > 0 && hide < 1))
    throw new UserError(`a share of ${hide}`, '--hide', 'give a share between 0 and 1, e.g. 0.2');
  return { png, share: hide, draws: checkCount(flags.draws, '--draws', 20), seed };
}
