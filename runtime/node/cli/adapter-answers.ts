/** @file `ort-answer --adapter`: the answers of adapters on one base, side by side. */
import { UserError } from '../../../graph-builder/errors.js';
import type { Ask } from '../answer-one.js';
import type { ModelSource } from '../load-model.js';
import { formatTable, NOTICE } from './main.js';

export interface AdapterFlags {
  readonly adapter: readonly string[];
  readonly run: string | undefined;
  readonly preset: string | undefined;
  readonly weights: string | undefined;
  readonly checkpoint: string;
  readonly json: boolean;
}

/** @throws {UserError} for flags that contradict each other. */
async function sourceOf({ run, preset, weights, checkpoint }: AdapterFlags): Promise<ModelSource> {
  if (checkpoint !== 'auto')
    throw new UserError(
      '--checkpoint is of a run, --adapter goes onto its base',
      '--checkpoint',
      'give one of the two',
    );
  if (preset === undefined) {
    if (weights !== undefined)
      throw new UserError(
        '--weights needs --preset',
        '--weights',
        'say which sizes they have, e.g. --preset miss-tiny',
      );
    const { newestRun } = await import('../runs.js');
    return { run: run ?? newestRun() };
  }
  if (run !== undefined)
    throw new UserError('--run and --preset both name a base', '--preset', 'give one of the two');
  return { preset, weights };
}

const percent = (probability: number): string => (100 * probability).toFixed(1);

/** Prints one answer with its runners-up, or a table of several. */
export async function printAdapterAnswers(flags: AdapterFlags, ask: Omit<Ask, 'checkpoint'>): Promise<void> {
  const { answerWithAdapters } = await import('../answer-adapters.js');
  const answers = await answerWithAdapters(await sourceOf(flags), flags.adapter, ask);
  if (flags.json) return console.log(JSON.stringify(answers.map((a) => ({ ...a, notice: NOTICE }))));
  for (const { adapter, warning } of answers)
    if (warning) process.stderr.write(`note: ${adapter}: ${warning}\n`);
  const [first, ...others] = answers;
  for (const note of first?.notes ?? []) process.stderr.write(`note: ${note}\n`);
  if (first && others.length === 0) {
    console.log(`${first.answer}  (probability ${percent(first.probability)}%, adapter ${first.adapter})\n`);
    console.log(
      formatTable([
        ['beam', '%'],
        ...first.beams.map((b) => [b.answer || '(nothing)', percent(b.probability)]),
      ]),
    );
  } else {
    const rows = answers.map((a) => [a.adapter, a.answer || '(nothing)', percent(a.probability)]);
    console.log(formatTable([['adapter', 'answer', '%'], ...rows]));
  }
  console.log(`\n${NOTICE}`);
}
