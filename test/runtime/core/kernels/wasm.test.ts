/** @file The compiled kernels are what their source says. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { compileKernels, kernelsFile } from '../../../../runtime/node/recipes/compile-kernels.js';

test('the module in the source is what `npm run make:kernels` would write', async () => {
  expect(readFileSync(kernelsFile(), 'utf8')).toBe(await compileKernels());
});
