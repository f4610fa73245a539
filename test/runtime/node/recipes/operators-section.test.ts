/** @file The README lists exactly the operators that the registry has. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../../../../datasets/package-root.js';
import { ops } from '../../../../graph-builder/ops/registry.js';
import { withOperators } from '../../../../runtime/node/recipes/operators-section.js';

test('npm run docs:operators would change nothing', () => {
  const readme = readFileSync(join(packageRoot(), 'README.md'), 'utf8');
  expect(readme).toBe(withOperators(readme));
  for (const op of Object.keys(ops)) expect(readme).toMatch(new RegExp(`\\b${op}\\b`));
});
