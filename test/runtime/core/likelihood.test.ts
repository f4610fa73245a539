/** @file Likelihoods of given answers against HF BLIP's teacher forcing (make_explain_golden.py). */
import { beforeAll, expect, test } from 'vitest';
import type { Answerer } from '../../../runtime/core/answerer.js';
import { temperedLogProb } from '../../../runtime/core/likelihood.js';
import { floats, type Tensor } from '../../../runtime/core/session.js';
import { readTensors } from '../../support/golden.js';
import { goldenAsked, goldenImages, openGoldenAnswerer, SEP } from '../../support/golden-answerer.js';

const expected = readTensors('explain/expected.safetensors');
const width = expected.candidates!.dims[1]!;
const ids = Array.from(expected.candidates!.data, Number);
const candidates = Array.from({ length: ids.length / width }, (_, c) => {
  const row = ids.slice(c * width, (c + 1) * width);
  return row.slice(0, row.indexOf(SEP) + 1);
});
const scoreOf = (question: number, candidate: number) =>
  floats(expected.candidate_log_probs)[question * candidates.length + candidate]!;

let answerer: Answerer;
let states: Tensor;
beforeAll(async () => {
  answerer = await openGoldenAnswerer();
  states = await answerer.encodeImages(goldenImages);
});

test('every candidate has the log-likelihood that HF BLIP gives it, in one batch of mixed lengths', async () => {
  const ranked = await answerer.rank(states, goldenAsked, candidates, {
    topK: candidates.length,
    keep: candidates.length,
  });
  for (const [question, list] of ranked.entries()) {
    expect(list).toHaveLength(candidates.length);
    for (const { candidate, logProb } of list) {
      expect(Math.abs(logProb - scoreOf(question, candidate))).toBeLessThan(1e-4);
    }
    const order = list.map((c) => c.candidate);
    expect(order).toEqual([...order].sort((a, b) => scoreOf(question, b) - scoreOf(question, a)));
  }
  expect(new Set(ranked.map((list) => list[0]!.candidate)).size).toBeGreaterThan(1);
});

test('top k keeps the candidates with the likeliest first tokens, scored as before', async () => {
  const all = await answerer.rank(states, goldenAsked, candidates, {
    topK: candidates.length,
    keep: candidates.length,
  });
  // log p of a first token: that of a candidate of this token alone, whatever its end
  const first = await answerer.rank(
    states,
    goldenAsked,
    candidates.map((c) => [c[0]!]),
    { topK: candidates.length, keep: candidates.length },
  );
  const few = await answerer.rank(states, goldenAsked, candidates, { topK: 3, keep: 3 });
  for (const [question, list] of few.entries()) {
    const firstOf = new Map(first[question]!.map(({ candidate, logProb }) => [candidate, logProb]));
    const kept = list.map((c) => c.candidate);
    const worst = Math.min(...kept.map((c) => firstOf.get(c)!));
    const left = [...firstOf].filter(([c]) => !kept.includes(c)).map(([, logProb]) => logProb);
    expect(list).toHaveLength(3);
    expect(Math.max(...left)).toBeLessThanOrEqual(worst + 1e-6);
    for (const { candidate, logProb } of list) {
      const whole = all[question]!.find((c) => c.candidate === candidate)!;
      expect(Math.abs(logProb - whole.logProb)).toBeLessThan(1e-5);
    }
  }
});

test('the best few, found without scoring all of them, are the best few of all', async () => {
  // many more candidates than are scored at first: each of HF's with every word in its place
  const many = candidates.flatMap((c) => Array.from({ length: 20 }, (_, i) => [3 + 4 * i, ...c.slice(1)]));
  const distinct = [...new Map(many.map((c) => [c.join(), c])).values()];
  const all = { topK: distinct.length, keep: distinct.length };
  const whole = await answerer.rank(states, goldenAsked, distinct, all);
  for (const keep of [1, 3, 10]) {
    const best = await answerer.rank(states, goldenAsked, distinct, { ...all, keep });
    for (const [question, list] of best.entries()) {
      const expectedBest = whole[question]!.slice(0, keep);
      expect(list.map((c) => c.candidate)).toEqual(expectedBest.map((c) => c.candidate));
      for (const [i, { logProb }] of list.entries())
        expect(Math.abs(logProb - expectedBest[i]!.logProb)).toBeLessThan(1e-5);
    }
  }
});

test('at temperature 1 a given answer has its likelihood; a high one makes all tokens alike', async () => {
  const given = [4, 5, 7, 9];
  const found = await answerer.temper(
    states,
    goldenAsked,
    given.map((c) => candidates[c]!),
    [1, 1e6],
  );
  for (const [question, [atOne, atMany]] of found.entries()) {
    const answer = candidates[given[question]!]!;
    expect(Math.abs(atOne! - scoreOf(question, given[question]!))).toBeLessThan(1e-4);
    expect(atMany!).toBeCloseTo(-answer.length * Math.log(97), 3);
  }
});

test('log softmax(z / T) of numbers that would overflow', () => {
  expect(temperedLogProb([1000, 1002], 0, 2)).toBeCloseTo(-Math.log(1 + Math.E), 12);
});
