/** @file Where the package lies: compiled code is in `.build`, data files are beside the sources. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The nearest folder above this file whose package.json is named mile-ort. */
export function packageRoot(from = dirname(fileURLToPath(import.meta.url))): string {
  const file = join(from, 'package.json');
  if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === 'mile-ort') return from;
  const parent = dirname(from);
  if (parent === from) throw new Error('internal: no package.json named mile-ort above the code');
  return packageRoot(parent);
}
