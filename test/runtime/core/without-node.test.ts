/** @file What answers in a browser, too, reaches no module of Node, however far its imports go. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { expect, test } from 'vitest';

/** Packages that run in browsers, too. */
const browserToo = ['zod', 'onnx-proto', '@huggingface/tokenizers'];

const root = new URL('../../../', import.meta.url).pathname;

/** Imports of a source file that are there at run time. */
function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const found = text.matchAll(/^(?:import|export) (?!type\b)[^;]*?from '([^']+)';|import\('([^']+)'\)/gm);
  return [...found].map((match) => (match[1] ?? match[2])!);
}

/** Packages that a file needs, with the files on the way to each. */
function packagesOf(file: string, seen = new Set<string>()): Map<string, string> {
  const packages = new Map<string, string>();
  if (seen.has(file)) return packages;
  seen.add(file);
  for (const name of importsOf(file)) {
    if (!name.startsWith('.')) packages.set(name, file);
    else {
      const next = resolve(dirname(file), name.replace(/\.js$/, '.ts'));
      for (const [found, by] of packagesOf(next, seen)) packages.set(found, by);
    }
  }
  return packages;
}

test.each([
  'runtime/core/served-model.ts',
  'runtime/core/predict.ts',
  'training-artifacts/adapters/stored-adapter.ts',
  'training-artifacts/graphs/serving.ts',
])('%s', (file) => {
  const packages = packagesOf(resolve(root, file));
  expect(Object.fromEntries([...packages].filter(([name]) => !browserToo.includes(name)))).toEqual({});
});

test('the walk finds what lies deep', () => {
  expect([...packagesOf(resolve(root, 'runtime/node/load-model.ts')).keys()]).toContain('onnxruntime-node');
});
