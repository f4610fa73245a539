/** @file Beam search: Hugging Face's beams on the golden model, brute force on toy distributions. */
import { beforeAll, describe, expect, test } from 'vitest';
import {
  answerDecoderGraph,
  imageEncoderGraph,
  logitsGraph,
  questionEncoderGraph,
} from '../../../graph-builder/models/miss.js';
import { Answerer } from '../../../runtime/core/answerer.js';
import { textFeeds } from '../../../runtime/core/batch.js';
import { type Beam, type BeamRow, beamSearch, type NextTokens } from '../../../runtime/core/beam-search.js';
import { type Feeds, floats, type Session, type Tensor } from '../../../runtime/core/session.js';
import { goldenConfig, maxDifference, openGraph, readTensors } from '../../support/golden.js';

const DEC = 95;
const SEP = 2;
const PAD = 0;

describe('the golden model', () => {
  const inputs = readTensors('blip/inputs.safetensors');
  const expected = readTensors('blip/expected.safetensors');
  const pixels = floats(inputs.pixel_values);
  const imageSize = 3 * goldenConfig.imageSize ** 2;
  const images = [0, 1, 2, 3].map((i) => pixels.slice(i * imageSize, (i + 1) * imageSize));
  const tokens = inputs.input_ids!.dims[1]!;
  const questions = images.map((_, i) => {
    const row = (t: Tensor) => Array.from(t.data, Number).slice(i * tokens, (i + 1) * tokens);
    return row(inputs.input_ids!).filter((_id, at) => row(inputs.attention_mask!)[at] === 1);
  });
  /** what the decoder was fed and what it returned, every step of a search */
  let steps: { feeds: Feeds; logits: Tensor }[] = [];
  let answerer: Answerer;
  let states: Tensor;
  let teacher: Session;

  beforeAll(async () => {
    const decoder = await openGraph(answerDecoderGraph(goldenConfig));
    const watched: Session = {
      ...decoder,
      run: async (feeds, outputs = decoder.outputNames) => {
        const results = await decoder.run(feeds, [...outputs, 'logits']);
        steps.push({ feeds, logits: results.logits! });
        return results;
      },
    };
    const sessions = {
      imageEncoder: await openGraph(imageEncoderGraph(goldenConfig)),
      questionEncoder: await openGraph(questionEncoderGraph(goldenConfig)),
      answerDecoder: watched,
    };
    answerer = new Answerer(sessions, goldenConfig, {}, { promptId: DEC, endId: SEP });
    states = await answerer.encodeImages(images);
    teacher = await openGraph(logitsGraph(goldenConfig));
  });

  /** Ids and scores of HF's three beams of a question; `name` is the golden prefix. */
  function golden(name: string, question: number): { ids: number[]; score: number }[] {
    const { data, dims } = expected[`${name}.sequences`]!;
    const [, beams, length] = dims as [number, number, number];
    return Array.from({ length: beams }, (_, b) => {
      const at = (question * beams + b) * length;
      const row = Array.from(data, Number).slice(at, at + length);
      expect(row[0]).toBe(DEC);
      const ids = row.slice(1).filter((id) => id !== PAD);
      return { ids, score: floats(expected[`${name}.scores`])[question * beams + b]! };
    });
  }

  function expectBeams(found: readonly Beam[], name: string, question: number): void {
    const reference = golden(name, question);
    expect(found.map((b) => b.ids)).toEqual(reference.map((b) => b.ids));
    const scores = reference.map((b) => b.score);
    expect(
      maxDifference(
        found.map((b) => b.score),
        scores,
      ),
    ).toBeLessThan(1e-4);
    for (const { ids, logProb, score } of found) expect(score).toBeCloseTo(logProb / ids.length, 12);
  }

  const asked = questions.map((ids, image) => ({ image, ids }));

  test('questions one by one give HF beams', async () => {
    for (const [i, question] of asked.entries()) {
      expectBeams((await answerer.answer(states, [question]))[0]!, 'beams', i);
    }
  });

  test('a padded batch gives the same beams: padding is masked', async () => {
    expect(new Set(questions.map((q) => q.length)).size).toBeGreaterThan(1);
    const found = await answerer.answer(states, asked);
    for (const [i, beams] of found.entries()) expectBeams(beams, 'beams', i);
  });

  test('the order of questions and sharing of images play no part', async () => {
    const order = [2, 0, 3, 0, 1];
    const found = await answerer.answer(
      states,
      order.map((i) => asked[i]!),
    );
    for (const [at, i] of order.entries()) expectBeams(found[at]!, 'beams', i);
  });

  test("referencePadding gives the beams of HF's padded batch, which are others", async () => {
    expect(textFeeds('question', questions, goldenConfig).question_ids!.dims).toEqual([4, tokens]);
    const found = await answerer.answer(states, asked, { referencePadding: true });
    for (const [i, beams] of found.entries()) expectBeams(beams, 'beams_reference_padding', i);
    const scores = found.flat().map((b) => b.score);
    expect(maxDifference(scores, floats(expected['beams.scores']))).toBeGreaterThan(0.05);
  });

  test('fewer beams and a shorter length are kept to', async () => {
    const found = await answerer.answer(states, asked, { beams: 2, maxLength: 4 });
    for (const beams of found) {
      expect(beams).toHaveLength(2);
      for (const { ids } of beams) expect(ids.length).toBeLessThanOrEqual(3);
    }
  });

  test('logits from the cache equal teacher-forced logits along every beam', async () => {
    steps = [];
    const found = await answerer.answer(states, asked);
    const cached = cachedLogits(steps);
    let compared = 0;
    for (const [i, beams] of found.entries()) {
      for (const { ids } of beams) {
        const answer = [DEC, ...ids];
        const { logits } = await teacher.run({
          pixel_values: { data: images[i]!, dims: [1, 3, goldenConfig.imageSize, goldenConfig.imageSize] },
          image_selection: { data: Float32Array.of(1), dims: [1, 1] },
          ...textFeeds('question', [questions[i]!], goldenConfig),
          ...textFeeds('answer', [answer], goldenConfig),
        });
        ids.forEach((_, t) => {
          const forced = floats(logits).slice(t * goldenConfig.vocab, (t + 1) * goldenConfig.vocab);
          const own = cached.get([i, ...answer.slice(0, t + 1)].join());
          expect(own, `step ${t} of question ${i}`).toBeDefined();
          expect(maxDifference(own!, forced), `step ${t} of question ${i}`).toBeLessThan(1e-4);
          compared += 1;
        });
      }
    }
    expect(compared).toBeGreaterThan(30);
  });

  /** Logits by question and prefix, found by following `beam_parent` back. */
  function cachedLogits(recorded: typeof steps): Map<string, Float32Array> {
    const all = new Map<string, Float32Array>();
    let previous: string[] = [];
    recorded.forEach(({ feeds, logits }, step) => {
      const of = (name: string) => Array.from(feeds[name]!.data, Number);
      const [ids, parents, owners] = [of('answer_ids'), of('beam_parent'), of('question_index')];
      previous = ids.map((id, row) =>
        step === 0 ? `${owners[row]},${id}` : `${previous[parents[row]!]},${id}`,
      );
      previous.forEach((prefix, row) => {
        const at = row * goldenConfig.vocab;
        all.set(prefix, floats(logits).slice(at, at + goldenConfig.vocab));
      });
    });
    return all;
  }
});

describe('toy distributions', () => {
  const PROMPT = 100;
  const END = 0;

  /** log p of the next token after a prefix, all tokens: pseudo-random, normalised. */
  function nextLogProbs(vocab: number, prefix: readonly number[]): number[] {
    const seed = prefix.reduce((h, token) => Math.imul(h ^ (token + 1), 0x9e3779b1) >>> 0, 7);
    const raw = Array.from({ length: vocab }, (_, i) => 2 * Math.sin(seed * (i + 1.7) * 1e-5 + i));
    const lse = Math.log(raw.reduce((s, x) => s + Math.exp(x), 0));
    return raw.map((x) => x - lse);
  }

  /** A step function that follows parents itself and sees to it that they are right. */
  function toy(vocab: number, width = vocab, next = nextLogProbs) {
    const calls: BeamRow[][] = [];
    let prefixes: number[][] = [];
    const step = async (rows: readonly BeamRow[]): Promise<NextTokens> => {
      prefixes = rows.map(({ token, parent, question }) =>
        calls.length === 0 ? [question, token] : [...prefixes[parent]!, token],
      );
      for (const [row, { question }] of rows.entries()) expect(prefixes[row]![0]).toBe(question);
      calls.push([...rows]);
      const best = prefixes.map((prefix) =>
        next(vocab, prefix)
          .map((logProb, id) => ({ id, logProb }))
          .sort((a, b) => b.logProb - a.logProb)
          .slice(0, width),
      );
      return {
        width,
        ids: best.flat().map((t) => t.id),
        logProbs: best.flat().map((t) => t.logProb),
      };
    };
    return { step, calls };
  }

  /** Every finished answer: ends with END, or fills the length. */
  function everyAnswer(vocab: number, question: number, maxLength: number, lengthPenalty: number): Beam[] {
    const answers: Beam[] = [];
    const grow = (ids: number[], logProb: number): void => {
      nextLogProbs(vocab, [question, PROMPT, ...ids]).forEach((p, token) => {
        const longer = [...ids, token];
        const total = logProb + p;
        if (token === END || longer.length === maxLength - 1) {
          answers.push({ ids: longer, logProb: total, score: total / longer.length ** lengthPenalty });
        } else grow(longer, total);
      });
    };
    grow([], 0);
    return answers.sort((a, b) => b.score - a.score);
  }

  const options = { promptId: PROMPT, endId: END, lengthPenalty: 1, maxLength: 10, beams: 3 };

  // With as many beams as there are continuations nothing is pruned, so the search is exact.
  test.each([
    { vocab: 3, maxLength: 4, lengthPenalty: 1 },
    { vocab: 3, maxLength: 4, lengthPenalty: 0 },
    { vocab: 4, maxLength: 4, lengthPenalty: 2 },
    { vocab: 5, maxLength: 3, lengthPenalty: 1 },
    { vocab: 6, maxLength: 2, lengthPenalty: 1 },
  ])('equals brute force: $vocab tokens, length $maxLength, penalty $lengthPenalty', async (size) => {
    const { vocab, maxLength, lengthPenalty } = size;
    const beams = vocab * (vocab - 1) ** (maxLength - 2);
    const found = await beamSearch(4, toy(vocab).step, { ...options, ...size, beams });
    found.forEach((answers, question) => {
      const all = everyAnswer(vocab, question, maxLength, lengthPenalty).slice(0, beams);
      expect(answers.map((a) => a.ids)).toEqual(all.map((a) => a.ids));
      expect(
        maxDifference(
          answers.map((a) => a.score),
          all.map((a) => a.score),
        ),
      ).toBeLessThan(1e-12);
    });
  });

  test('one beam is greedy', async () => {
    const found = await beamSearch(20, toy(7).step, { ...options, beams: 1 });
    found.forEach(([answer], question) => {
      const ids: number[] = [];
      while (ids.at(-1) !== END && ids.length < 9) {
        const p = nextLogProbs(7, [question, PROMPT, ...ids]);
        ids.push(p.indexOf(Math.max(...p)));
      }
      expect(answer!.ids).toEqual(ids);
    });
    expect(new Set(found.map(([a]) => a!.ids.length)).size).toBeGreaterThan(2);
  });

  test('questions are independent of the batch that they are in', async () => {
    const together = await beamSearch(12, toy(9).step, options);
    for (let question = 0; question < 12; question++) {
      const own = toy(9, 9, (vocab, [, ...rest]) => nextLogProbs(vocab, [question, ...rest]));
      expect((await beamSearch(1, own.step, options))[0]).toEqual(together[question]);
    }
  });

  test('2·beams tokens a row are enough', async () => {
    const all = await beamSearch(12, toy(30).step, options);
    expect(await beamSearch(12, toy(30, 6).step, options)).toEqual(all);
  });

  test('questions that are done leave the batch; no row runs beyond the length', async () => {
    const { step, calls } = toy(5);
    const found = await beamSearch(20, step, { ...options, maxLength: 8 });
    const rows = calls.map((c) => c.length);
    expect(rows[0]).toBe(20); // one row a question: equal rows would give equal beams
    expect(rows[1]).toBe(60);
    expect(rows.at(-1)).toBeLessThan(60);
    expect(calls.length).toBeLessThanOrEqual(7);
    for (const answers of found) {
      expect(answers).toHaveLength(3);
      for (const { ids } of answers) {
        expect(ids.length).toBeLessThanOrEqual(7);
        expect(ids.slice(0, -1)).not.toContain(END);
        if (ids.length < 7) expect(ids.at(-1)).toBe(END);
      }
      expect(new Set(answers.map((a) => a.ids.join())).size).toBe(3);
    }
  });

  test('a certain end needs one step more than beams to fill', async () => {
    // END first with probability 0.98, so 3 finished beams stand after two steps
    const next = () => [0.98, 0.01, 0.006, 0.004].map(Math.log);
    const { step, calls } = toy(4, 4, next);
    const [answers] = await beamSearch(1, step, options);
    expect(answers!.map((a) => a.ids)).toEqual([[0], [1, 0], [2, 0]]);
    expect(calls).toHaveLength(2);
  });

  test('the length penalty decides between a short and a long answer', async () => {
    // [END] has log 0.62 = -0.48, [1, 1, END] log(0.38·0.99·0.99) = -0.99: over 3² that is the better one
    const next = (_: number, prefix: readonly number[]) =>
      (prefix.length === 2 ? [0.62, 0.38] : prefix.length < 4 ? [0.01, 0.99] : [0.99, 0.01]).map(Math.log);
    const best = async (lengthPenalty: number) =>
      (await beamSearch(1, toy(2, 2, next).step, { ...options, beams: 2, lengthPenalty }))[0]![0]!;
    expect((await best(0)).ids).toEqual([END]);
    const long = await best(2);
    expect(long.ids).toEqual([1, 1, END]);
    expect(long.score).toBeCloseTo(Math.log(0.38 * 0.99 * 0.99) / 9, 12);
  });
});
