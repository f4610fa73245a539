/** @file `npm run docs:operators`: the README's list of supported operators, from the registry. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../../datasets/package-root.js';
import { writeAtomic } from '../../../training-artifacts/files.js';
import { withOperators } from './operators-section.js';

const readme = join(packageRoot(), 'README.md');
writeAtomic(readme, withOperators(readFileSync(readme, 'utf8')));
