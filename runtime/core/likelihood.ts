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
  /** candidates that may be scored in full: those with the most likely first tokens */
  readonly topK: number;
  /** how many of the best are wanted */
  readonly keep: number;
  readonly promptId: number;
}

/** Candidates of a question that are scored before it is known which others cannot win. */
const FIRST_WAVE = 8;
/** Rows of a step: 256 rows of 30,524 logits are 31 MB. */
const ROWS = 256;

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

/** Candidates by question. */
type Members = ReadonlyMap<number, readonly number[]>;

/** Scores the members in full, from the prompt on. */
async function scoreInFull(
  step: LogitStep,
  members: Members,
  candidates: readonly CandidateIds[],
  promptId: number,
): Promise<Map<number, RankedCandidate[]>> {
  const sums = new Map([...members].map(([q, list]) => [q, new Map(list.map((c) => [c, 0]))]));
  let prefixes: Prefix[] = [...members].map(([question, list]) => ({
    row: { token: promptId, parent: question, question },
    members: list,
  }));
  for (let depth = 0; prefixes.length > 0; depth++) {
    const next = await step(prefixes.map((p) => p.row));
    prefixes = prefixes.flatMap((prefix, at) => {
      const logProb = rowLogProbs(next, at, prefixes.length);
      const own = sums.get(prefix.row.question)!;
      for (const c of prefix.members) own.set(c, own.get(c)! + logProb(candidates[c]![depth]!));
      return nextPrefixes(prefix, at, candidates, depth);
    });
  }
  const listed = [...sums].map(
    ([q, own]) => [q, [...own].map(([candidate, logProb]) => ({ candidate, logProb }))] as const,
  );
  return new Map(listed);
}

/** log p of each candidate's first token, by question. */
async function firstTokens(
  step: LogitStep,
  questions: number,
  candidates: readonly CandidateIds[],
  promptId: number,
): Promise<number[][]> {
  const rows = Array.from({ length: questions }, (_, q) => ({ token: promptId, parent: q, question: q }));
  const next = await step(rows);
  return rows.map((_, q) => {
    const logProb = rowLogProbs(next, q, questions);
    return candidates.map((ids) => logProb(ids[0]!));
  });
}

/** Whole questions together, so that a step has few rows. */
function* batches(members: Members): Generator<Members> {
  let batch = new Map<number, readonly number[]>();
  let rows = 0;
  for (const [question, list] of members) {
    if (list.length === 0) continue;
    if (rows > 0 && rows + list.length > ROWS) {
      yield batch;
      [batch, rows] = [new Map(), 0];
    }
    batch.set(question, list);
    rows += list.length;
  }
  if (rows > 0) yield batch;
}

const byScore = (a: RankedCandidate, b: RankedCandidate): number =>
  b.logProb - a.logProb || a.candidate - b.candidate;

/**
 * The likeliest of the candidate answers: all are scored by their first token, the best `topK` in full. Candidates
 * that begin alike share their rows; those whose first token alone is less likely than `keep` whole candidates are
 * left out, as more tokens can only lower a score.
 *
 *   score = Σ_t log p(token_t | tokens before, question, image), not divided by the length
 *
 * Source: the reference's `rank` mode; its score has the label smoothing of training in it, this one has not.
 * @param start makes the decoder anew, before the prompt.
 * @param candidates not empty; each ends with the end token.
 * @returns for each question the `keep` best of the `topK`, best first.
 */
export async function rankCandidates(
  questions: number,
  start: () => LogitStep,
  candidates: readonly CandidateIds[],
  { topK, keep, promptId }: RankOptions,
): Promise<RankedCandidate[][]> {
  const firsts = await firstTokens(start(), questions, candidates, promptId);
  const chosen = firsts.map((scores) =>
    [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, topK),
  );
  const found: RankedCandidate[][] = firsts.map(() => []);
  for (const [from, to] of [
    [0, FIRST_WAVE],
    [FIRST_WAVE, topK],
  ]) {
    const members = chosen.map((list, q) => {
      const bound = found[q]![keep - 1]?.logProb ?? -Infinity;
      return [q, list.slice(from, to).filter((c) => firsts[q]![c]! >= bound)] as const;
    });
    for (const batch of batches(new Map(members))) {
      for (const [q, scored] of await scoreInFull(start(), batch, candidates, promptId)) {
        found[q] = [...found[q]!, ...scored].sort(byScore);
      }
    }
  }
  return found.map((list) => list.slice(0, keep));
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
