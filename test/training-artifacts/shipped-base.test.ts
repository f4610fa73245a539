/** @file The base weights that ship saw no test and no validation question, and are what their record says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../../datasets/package-root.js';
import { loadSplit } from '../../datasets/split-file.js';
import { loadVqaRad } from '../../datasets/vqa-rad.js';
import { presets } from '../../graph-builder/models/config.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { expandPretrained, sha256 } from '../../training-artifacts/weights/pretrained.js';
import { withSafetensors } from '../../training-artifacts/weights/safetensors-file.js';

const folder = join(packageRoot(), 'training-artifacts', 'pretrained');
const record = JSON.parse(readFileSync(join(folder, 'miss-tiny.json'), 'utf8')) as {
  sha256: string;
  expandedSha256: string;
  seen: { questions: string[]; pretextImages: string[] };
};
const dataset = loadVqaRad();
const byId = new Map(dataset.questions.map((q) => [q.qid, q]));

test.each(['official', 'image'] as const)(
  'no recorded qid is in the test or validation list of %s',
  (name) => {
    const { test: held, validation } = loadSplit(dataset, name);
    const heldOut = new Set([...held, ...validation]);
    expect(record.seen.questions.length).toBeGreaterThan(0);
    expect(record.seen.questions.filter((qid) => heldOut.has(qid))).toEqual([]);
  },
);

test('no recorded image is a test image of the image split', () => {
  const { test: held } = loadSplit(dataset, 'image');
  const images = new Set(held.map((qid) => byId.get(qid)!.imageId));
  const seen = [...record.seen.pretextImages, ...record.seen.questions.map((qid) => byId.get(qid)!.imageId)];
  expect(seen.filter((id) => images.has(id))).toEqual([]);
});

test('the file has the recorded hash, at most 25 MB, and expands to every parameter of miss-tiny', () => {
  const file = join(folder, 'miss-tiny.safetensors');
  expect(sha256(file)).toBe(record.sha256);
  expect(readFileSync(file).length).toBeLessThanOrEqual(25e6);
  const expanded = expandPretrained('miss-tiny');
  expect(sha256(expanded)).toBe(record.expandedSha256);
  const stored = withSafetensors(
    expanded,
    ({ header }) => new Map([...header.tensors].map(([n, t]) => [n, t.shape])),
  );
  const expected = new Map(lossGraph(presets['miss-tiny']).parameters.map((p) => [p.name, p.shape]));
  expect(stored).toEqual(expected);
});
