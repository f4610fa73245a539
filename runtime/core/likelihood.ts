/** @file How likely the decoder finds answers that are given: ranking of candidates, and answers at a temperature. */
import type { BeamRow, NextTokens } from './beam-search.js';

/** A step that also returns the logits [rows · vocab]. */
export interface LogitTokens extends NextTokens {
  readonly logits: Float32Array;
}
export type LogitStep = (rows: readonly BeamRow[]) => Promise<LogitTokens>;

/** A candidate's tokens after the prompt, the end token included. */
export type CandidateIds = readonly number[];

export interface RankedCandidate {
  /** index in the list of candidates */
  readonly candidate: number;
  /** Σ log p of its tokens, the end token included */
  readonly logProb: number;
}

export interface RankOptions {
  /** candidates that are scored in full: those with the most likely first tokens */
  readonly topK: number;
  readonly promptId: number;
}

/** log p of a row's tokens: log-sum-exp is what the graph took from the best token's logit. */
function rowLogProbs({ width, ids, logProbs, logits }: LogitTokens, row: number, rows: number) {
  const vocab = logits.length / rows;
  const from = row * vocab;
  const lse = logits[from + Number(ids[row * width])]! - logProbs[row * width]!;
  return (token: number): number => logits[from + token]! - lse;
}

/** A row of the next step and the candidates that begin with its tokens. */
interface Prefix {
  readonly row: BeamRow;
  readonly members: readonly number[];
}

/** One row for each different token that the members have at `depth`. */
function nextPrefixes(
  { row: { question }, members }: Prefix,
  parent: number,
  candidates: readonly CandidateIds[],
  depth: number,
): Prefix[] {
  const groups = new Map<number, number[]>();
  for (const c of members) {
    if (candidates[c]!.length <= depth + 1) continue; // its end token is scored
    const token = candidates[c]![depth]!;
    groups.set(token, [...(groups.get(token) ?? []), c]);
  }
  return [...groups].map(([token, shared]) => ({ row: { token, parent, question }, members: shared }));
}

/** The members whose first token is likeliest; the earlier of two that are equal. */
const likeliest = (members: readonly number[], scores: Float64Array, topK: number): number[] =>
  [...members].sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, topK);

/**
 * Scores candidate answers by their likelihood: all by their first token, the best `topK` in full. Candidates that
 * begin alike share their rows.
 *
 *   score = Σ_t log p(token_t | tokens before, question, image), not divided by the length
 *
 * Source: the reference's `rank` mode; its score has the label smoothing of training in it, this one has not.
 * @param candidates not empty; each ends with the end token.
 * @returns for each question the candidates that were scored in full, best first.
 */
export async function rankCandidates(
  questions: number,
  step: LogitStep,
  candidates: readonly CandidateIds[],
  { topK, promptId }: RankOptions,
): Promise<RankedCandidate[][]> {
  const scores = Array.from({ length: questions }, () => new Float64Array(candidates.length));
  const chosen: number[][] = [];
  let prefixes: Prefix[] = scores.map((_, question) => ({
    row: { token: promptId, parent: question, question },
    members: [...candidates.keys()],
  }));
  for (let depth = 0; prefixes.length > 0; depth++) {
    const next = await step(prefixes.map((p) => p.row));
    prefixes = prefixes.flatMap((prefix, at) => {
      const logProb = rowLogProbs(next, at, prefixes.length);
      const own = scores[prefix.row.question]!;
      for (const c of prefix.members) own[c]! += logProb(candidates[c]![depth]!);
      if (depth > 0) return nextPrefixes(prefix, at, candidates, depth);
      const members = likeliest(prefix.members, own, topK);
      chosen[prefix.row.question] = members;
      return nextPrefixes({ ...prefix, members }, at, candidates, depth);
    });
  }
  return chosen.map((members, question) =>
    members
      .map((candidate) => ({ candidate, logProb: scores[question]![candidate]! }))
      .sort((a, b) => b.logProb - a.logProb || a.candidate - b.candidate),
  );
}

/** log softmax(z / T) at `token`. */
export function temperedLogProb(logits: ArrayLike<number>, token: number, temperature: number): number {
  let top = -Infinity;
  for (let i = 0; i < logits.length; i++) top = Math.max(top, logits[i]!);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i]! - top) / temperature);
  return (logits[token]! - top) / temperature - Math.log(sum);
}

/**
 * Log probability of one given answer a question, at each temperature: Σ_t log softmax(z_t / T)[token_t].
 *
 * @returns for each question as many numbers as there are temperatures.
 */
export async function temperedAnswers(
  step: LogitStep,
  answers: readonly CandidateIds[],
  temperatures: readonly number[],
  promptId: number,
): Promise<number[][]> {
  const sums = answers.map(() => temperatures.map(() => 0));
  let rows: BeamRow[] = answers.map((_, question) => ({ token: promptId, parent: question, question }));
  for (let depth = 0; rows.length > 0; depth++) {
    const { logits } = await step(rows);
    const vocab = logits.length / rows.length;
    rows = rows.flatMap(({ question }, at) => {
      const answer = answers[question]!;
      const token = answer[depth]!;
      const row = logits.subarray(at * vocab, (at + 1) * vocab);
      for (const [i, t] of temperatures.entries()) sums[question]![i]! += temperedLogProb(row, token, t);
      return depth + 1 < answer.length ? [{ token, parent: at, question }] : [];
    });
  }
  return sums;
}
