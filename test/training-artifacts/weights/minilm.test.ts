/**
 * @file A published text model, all-MiniLM-L6-v2, in the text body of miss-small.
 *
 * Its weights (90 MB) are not in the repository, so this runs only where MILE_ORT_MINILM names the folder with its
 * model.safetensors, config.json and vocab.txt; make_minilm_golden.py says how to get it. Last run: 25 November
 * 2026, onnxruntime-node 1.30.0, largest difference 1.5e-6 (BertModel) and 2.6e-5 (BlipTextModel).
 * What the import does is tested without it on small random models, in import.test.ts.
 */
import { expect, test } from 'vitest';
import { GraphBuilder } from '../../../graph-builder/ir/builder.js';
import { product } from '../../../graph-builder/ir/dim.js';
import { verify } from '../../../graph-builder/ir/graph.js';
import type { Graph } from '../../../graph-builder/ir/types.js';
import { presetConfig } from '../../../graph-builder/models/config.js';
import { textOnlyGraph } from '../../../graph-builder/models/miss.js';
import { keyValue, textBody } from '../../../graph-builder/models/text-body.js';
import { floats } from '../../../runtime/core/session.js';
import { maxDifference, openGraph, readTensors } from '../../support/golden.js';
import { importInto, textFeeds } from './importing.js';

const model = process.env.MILE_ORT_MINILM;
const config = presetConfig('miss-small');
const TOLERANCE = 1e-4;

/** The text encoder over three image tokens, as the model runs it. */
function encoderGraph(): Graph {
  const g = new GraphBuilder();
  const shape = ['batch', 'question_tokens'] as const;
  g.shapeInput('question_shape', [...shape, config.textHeads, config.hidden / config.textHeads]);
  g.shapeInput('question_token_shape', [...shape]);
  const ids = g.input('question_ids', 'int32', shape);
  const positions = g.input('question_position_ids', 'int32', shape);
  const mask = g.cast(g.input('question_mask', 'int32', shape), 'float32');
  const selfMask = g.reshape(g.mul(g.sub(mask, 1), 10_000), ['batch', 1, 1, 'question_tokens']);
  const given = g.input('image_states', 'float32', ['batch', 3, config.hidden]);
  const images = g.reshape(given, [product(['batch', 3]), config.hidden]);
  const cross = (layer: number) =>
    keyValue(g, images, `text_encoder.encoder.layer.${layer}.crossattention.self`, {
      batch: 'batch',
      keys: 3,
      heads: config.textHeads,
    });
  return g.finish({
    hidden_states: textBody(g, { name: 'text_encoder', ids, positions, selfMask, cross }, config),
  });
}

test.runIf(model)('all-MiniLM-L6-v2 gives the hidden states of transformers', async () => {
  const { out } = await importInto([model!], { config });
  const golden = readTensors('weights/minilm-expected.safetensors');
  const feeds = textFeeds('question', golden.input_ids!, golden.attention_mask!, config);
  const alone = await openGraph(verify(textOnlyGraph(config)), out);
  const bert = floats((await alone.run(feeds)).hidden_states);
  expect(maxDifference(bert, floats(golden.bert_states))).toBeLessThan(TOLERANCE);

  const whole = await openGraph(verify(encoderGraph()), out);
  const blip = floats((await whole.run({ ...feeds, image_states: golden.image_states! })).hidden_states);
  expect(maxDifference(blip, floats(golden.blip_states))).toBeLessThan(TOLERANCE);
});
