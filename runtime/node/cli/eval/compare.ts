/** @file `ort-eval --compare`: two runs or two files of predictions. */
import { basename } from 'node:path';
import { compareRuns, isRun } from '../../scoring/compare-runs.js';
import type { EvalFlags } from '../ort-eval.js';
import { comparisonTable, definitions } from '../scores-table.js';
import { answerBar, askOptions } from './flags.js';

export async function compareCommand(flags: EvalFlags): Promise<void> {
  const [a, b] = flags.compare as [string, string];
  const bar = answerBar();
  const { truth, flips } = flags;
  const options = await askOptions(flags, isRun(a) ? a : undefined);
  const result = await compareRuns(a, b, {
    ...options,
    ...(truth !== undefined && { truth }),
    ...(flips !== undefined && { flipsFile: flips }),
    onProgress: bar.update,
  });
  bar.stop();
  if (flags.json) return console.log(JSON.stringify(result));
  const { kinds, recorded, splitSha256, flipsFile } = result;
  const said = (side: 'a' | 'b') => (recorded[side] ? 'recorded predictions' : 'answered now');
  console.log(`A ${a} (${said('a')})\nB ${b} (${said('b')})`);
  if (splitSha256)
    console.log(
      `${flags.on} questions, ${basename(options.split, '.json')} split, sha256 ${splitSha256.slice(0, 12)}`,
    );
  console.log(`\n${comparisonTable(kinds)}\n`);
  console.log(
    `${definitions.exact}\n95%: bootstrap of the paired difference; p: McNemar's test, exact, two-sided, not corrected for several rows`,
  );
  console.log(`${result.flips.length} questions that only one answers right: ${flipsFile}`);
}
