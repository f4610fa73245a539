/** @file The process that trains and answers in a network namespace without a way out. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../../datasets/package-root.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import { answerOne } from '../answer-one.js';
import { DEFAULT_PRESET } from '../runs.js';
import { measure } from './measure.js';
import { countAttempts, type OfflineReport } from './offline-proof.js';
import { withSelfTest } from './self-test.js';

/** The answer of the model that ships to a question about the first image that ships. */
async function answer(): Promise<string> {
  const images = join(packageRoot(), 'datasets', 'vqa-rad', 'images');
  const image = join(images, readdirSync(images).sort()[0]!);
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-doctor-'));
  try {
    const run = join(folder, 'run');
    emitVariant({ preset: DEFAULT_PRESET, variant: 'lora-r8' }, run);
    return (await answerOne(run, { image, question: 'is this normal?', checkpoint: 'base' })).answer;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const read = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');

const { losses } = await withSelfTest((job) => measure({ ...job, device: 'cpu' }));
const report: OfflineReport = {
  steps: losses.length,
  answer: await answer(),
  connections: countAttempts(read('/proc/self/net/snmp'), read('/proc/self/net/snmp6')),
};
console.log(JSON.stringify(report));
