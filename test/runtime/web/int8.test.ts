/** @file Frozen products in 8 bits in WebAssembly: the integers of Node, so its losses and gradients. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { lossGraph } from '../../../graph-builder/models/miss.js';
import { writeOnnx } from '../../../graph-builder/onnx/write.js';
import { int8Forms } from '../../../graph-builder/rewrites/int8-weights.js';
import { floats } from '../../../runtime/core/session.js';
import { openSession } from '../../../runtime/web/ort.js';
import { withSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';
import { goldenConfig, goldenFeeds, norm, openGraph, weightsFile } from '../../support/golden.js';
import { fileWithInt8, inInt8 } from '../../support/int8.js';
import { gradientGraph } from '../../support/models.js';
import { variantTensors } from '../../support/variants.js';

const whole = gradientGraph(goldenConfig, 'lora-r4', { placement: 'P/P/P' });

// Codes are the same but for activations that lie within 1e-7 of the middle between two codes
const TOLERANCE = { dynamic: 2e-3, 'weight-only': 1e-4 }; // measured: 1.9e-4 and 7e-6

test.each(int8Forms)('%s: loss and gradients equal those of onnxruntime-node', async (form) => {
  const file = fileWithInt8(weightsFile, lossGraph(goldenConfig), form);
  const graph = inInt8(whole, form);
  const bytes = withSafetensors(file, ({ header }) =>
    writeOnnx(graph, {
      name: 'test',
      weights: (p) => ({ location: 'weights.safetensors', ...header.tensors.get(p.name)! }),
    }),
  );
  const data = new Uint8Array(readFileSync(file));
  const web = await openSession(bytes, { externalData: [{ path: 'weights.safetensors', data }] });
  const node = await openGraph(graph, file);
  const feeds = { ...goldenFeeds(), ...variantTensors('lora-r4') };
  const [ours, theirs] = [await web.run(feeds), await node.run(feeds)];
  for (const session of [web, node]) await session.release();
  expect(floats(ours.loss)[0]! / floats(theirs.loss)[0]!).toBeCloseTo(1, 4);
  const names = Object.keys(theirs).filter((n) => n.endsWith('.grad'));
  expect(names.length).toBeGreaterThan(20);
  const all = (r: typeof ours) => names.flatMap((n) => Array.from(floats(r[n])));
  const [a, b] = [all(ours), all(theirs)];
  const error = norm(a.map((v, i) => v - b[i]!)) / norm(b);
  expect(error).toBeLessThan(TOLERANCE[form]);
});
