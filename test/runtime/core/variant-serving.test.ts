/** @file Every method served: the beams of the cached decoder equal teacher-forced logits of the training form. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verify } from '../../../graph-builder/ir/graph.js';
import {
  answerDecoderGraph,
  imageEncoderGraph,
  logitsGraph,
  lossGraph,
  questionEncoderGraph,
} from '../../../graph-builder/models/miss.js';
import { parseVariant } from '../../../graph-builder/variant/parse.js';
import { applyVariant, servedTensors } from '../../../graph-builder/variant/variant.js';
import { Answerer } from '../../../runtime/core/answerer.js';
import { imageSelection, pixelFeed, textFeeds } from '../../../runtime/core/batch.js';
import type { Beam } from '../../../runtime/core/beam-search.js';
import { float32, floats, type Session, type Tensor } from '../../../runtime/core/session.js';
import { goldenConfig, openGraph, readTensors } from '../../support/golden.js';
import { variantTensors } from '../../support/variants.js';

const DEC = 95;
const SEP = 2;
const inputs = readTensors('blip/inputs.safetensors');
const side = 3 * goldenConfig.imageSize ** 2;
const images = [0, 1, 2, 3].map((i) => floats(inputs.pixel_values).slice(i * side, (i + 1) * side));
/** questions of different lengths, each about its own image */
const questions = images.map((_, i) => {
  const tokens = inputs.input_ids!.dims[1]!;
  const row = (t: Tensor) => Array.from(t.data, Number).slice(i * tokens, (i + 1) * tokens);
  return row(inputs.input_ids!).filter((_id, at) => row(inputs.attention_mask!)[at] === 1);
});

const base = lossGraph(goldenConfig);
const rows = [
  ['lora-r4', 'P/P/P'],
  ['rslora-r4', 'F/P/P'],
  ['dora-r4', 'P/P/P'],
  ['ia3', 'P/P/P'],
  ['prefix-n10', 'F/P/P'],
  ['ptv2-n10', 'F/F/P'],
  ['ptv2-n10', 'F/P/F'],
] as const;

describe.each(rows)('%s at %s', (name, placement) => {
  const variant = parseVariant(name, base.parameters, { placement });
  const trained = new Map(
    applyVariant(base, variant, 'evaluation')
      .parameters.filter((p) => p.trainable)
      .map(({ name: n }) => {
        const t = variantTensors(name)[n]!;
        return [n, { shape: t.dims, data: floats(t) }] as const;
      }),
  );
  const feeds = (tensors: typeof trained) =>
    Object.fromEntries([...tensors].map(([n, { shape, data }]) => [n, float32(data, shape)]));
  const sessions: Session[] = [];
  let beams: Beam[][];
  let decoderInputs: readonly string[];

  beforeAll(async () => {
    const open = async (graph: ReturnType<typeof logitsGraph>) => {
      const session = await openGraph(verify(applyVariant(graph, variant, 'serving')));
      sessions.push(session);
      return session;
    };
    const served = feeds(servedTensors(trained, variant, goldenConfig.textHeads) as typeof trained);
    const answerDecoder = await open(answerDecoderGraph(goldenConfig));
    decoderInputs = answerDecoder.inputNames;
    const answerer = new Answerer(
      {
        imageEncoder: await open(imageEncoderGraph(goldenConfig)),
        questionEncoder: await open(questionEncoderGraph(goldenConfig)),
        answerDecoder,
      },
      goldenConfig,
      served,
      { promptId: DEC, endId: SEP },
    );
    const states = await answerer.encodeImages(images);
    beams = await answerer.answer(
      states,
      questions.map((ids, image) => ({ image, ids })),
    );
  });
  afterAll(async () => {
    for (const session of sessions) await session.release();
  });

  /** Σ log p of an answer's tokens, all at once. */
  async function teacherForced(teacher: Session, question: number, ids: readonly number[]): Promise<number> {
    const text = {
      ...textFeeds('question', [questions[question]!], goldenConfig),
      ...textFeeds('answer', [[DEC, ...ids.slice(0, -1)]], goldenConfig),
    };
    const { logits } = await teacher.run({
      ...feeds(trained),
      ...text,
      pixel_values: pixelFeed([images[question]!], goldenConfig),
      image_selection: imageSelection([0], 1),
    });
    const { vocab } = goldenConfig;
    return ids.reduce((sum, id, t) => {
      const row = Array.from(floats(logits).subarray(t * vocab, (t + 1) * vocab));
      const top = Math.max(...row);
      return sum + row[id]! - top - Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
    }, 0);
  }

  test('3 beams a question, with the log probabilities of the training form', async () => {
    const teacher = await openGraph(applyVariant(logitsGraph(goldenConfig), variant, 'evaluation'));
    for (const [question, found] of beams.entries()) {
      expect(found).toHaveLength(3);
      for (const { ids, logProb } of found) {
        expect(ids.length).toBeLessThanOrEqual(9); // max_length 10 counts [DEC] and generated tokens only
        expect(Math.abs(logProb - (await teacherForced(teacher, question, ids)))).toBeLessThan(1e-4);
      }
    }
    await teacher.release();
  });

  test('a decoder’s prefix is the first entries of its cache and no other input', () => {
    expect(decoderInputs.filter((n) => n.includes('prompt'))).toEqual([]);
    expect(decoderInputs).toContain('past_key.0');
  });
});
