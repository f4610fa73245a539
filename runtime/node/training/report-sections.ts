/** @file The parts of a model card that every run has, as Markdown. */
import { basename } from 'node:path';
import { accuracyOf } from '../../../datasets/scoring/accuracy.js';
import type { EvaluationEvent } from './events.js';
import { bestOf, type RunFacts } from './report-facts.js';

/** How a training ended. */
export interface Ending {
  readonly finished: boolean;
  /** by early stopping */
  readonly early: boolean;
}

export type Cell = string | number;

/** A Markdown table; bars in cells would end them. */
export const table = (head: readonly string[], rows: readonly (readonly Cell[])[]): string =>
  [head, head.map(() => '---'), ...rows]
    .map((row) => `| ${row.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');

export const facts = (rows: readonly (readonly [string, Cell])[]): string => table(['what', 'value'], rows);

export const percent = (share: number | null): string =>
  share === null || !Number.isFinite(share) ? '-' : (100 * share).toFixed(1);

export const section = (title: string, ...parts: readonly string[]): string =>
  [`## ${title}`, ...parts.filter((part) => part !== '')].join('\n\n');

/** 95% bootstrap interval of an accuracy, percent. */
function withInterval({ n, accuracy }: EvaluationEvent): string {
  const right = Math.round(accuracy * n);
  const { low, high } = accuracyOf(Array.from({ length: n }, (_, i) => i < right));
  return `${percent(accuracy)} [${percent(low)}, ${percent(high)}]`;
}

const evaluationRow = (what: string, e: EvaluationEvent): Cell[] => [
  what,
  e.step,
  e.n,
  withInterval(e),
  percent(e.yesNo),
  percent(e.notYesNo),
  e.loss === undefined ? '-' : e.loss.toFixed(4),
];

export function results(run: RunFacts): string {
  const { steps, evaluations } = run;
  const best = bestOf(run);
  const lowest = steps.reduce((a, b) => (b.tokenLoss < a.tokenLoss ? b : a), steps[0]!);
  const last = steps.at(-1)!;
  const losses = table(
    ['training loss', 'step', 'a sample', 'a token'],
    [
      ['first', 1, steps[0]!.loss.toFixed(4), steps[0]!.tokenLoss.toFixed(4)],
      ['lowest', lowest.step, lowest.loss.toFixed(4), lowest.tokenLoss.toFixed(4)],
      ['last', last.step, last.loss.toFixed(4), last.tokenLoss.toFixed(4)],
    ],
  );
  if (evaluations.length === 0) return `${losses}\n\nNothing was validated.`;
  const [first] = evaluations;
  const rows = [
    ...(first!.step === 0 ? [evaluationRow('before training', first!)] : []),
    ...(best ? [evaluationRow(`best (by ${run.options.bestBy})`, best)] : []),
    evaluationRow('last', evaluations.at(-1)!),
  ];
  const scores = table(
    ['validation', 'step', 'n', 'accuracy % [95%]', 'yes/no %', 'others %', 'loss a token'],
    rows,
  );
  return `${losses}\n\n${scores}\n\nExact match after normalisation; 95% bootstrap intervals. The best checkpoint was chosen by these scores, which\nmakes its own optimistic: \`ort-eval\` scores the test questions, which played no part.`;
}

/** Options whose folders are of this machine. */
const PATHS: ReadonlySet<string> = new Set(['data', 'split', 'imageRoot', 'initFrom']);

export function hyperparameters({ options, manifest }: RunFacts): string {
  const flag = (key: string) => `--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
  const shown = (key: string, value: unknown): Cell =>
    value === '' || value === null ? 'default' : PATHS.has(key) ? basename(String(value)) : String(value);
  const rows = Object.entries(options)
    .filter(([key]) => key !== 'rowsSha256' && key !== 'initSha256') // no flags
    .map(([key, value]): [string, Cell] => [flag(key), shown(key, value)]);
  const fixed: [string, Cell][] = [
    ['optimizer', 'AdamW, beta 0.9 and 0.999, epsilon 1e-8, float32'],
    ['seed of the adapters', manifest.seed],
    ...(options.initSha256
      ? [['sha256 of the checkpoint it started from', options.initSha256] as [string, Cell]]
      : []),
  ];
  return facts([...rows, ...fixed]);
}

export function environment({ state, steps, version, hardware, seconds }: RunFacts): string {
  const waitMs = steps.reduce((sum, step) => sum + (step.waitMs ?? 0), 0);
  const { cpu, device, threads, onnxruntime, node, platform } = state.environment;
  return facts([
    ['mile-ort', version],
    ['onnxruntime', onnxruntime ?? '-'],
    ['node', node ?? '-'],
    ['platform', platform ?? '-'],
    ['processor', `${cpu}, ${hardware.cores} cores`],
    ['memory', `${(hardware.memoryBytes / 2 ** 30).toFixed(1)} GiB`],
    ['device', device ?? 'cpu'],
    ['threads inside an operator', threads ?? '-'],
    ['time in updates', `${seconds.updates.toFixed(1)} s`],
    ['of it, waiting for images', `${(waitMs / 1000).toFixed(1)} s`],
    ['time in validation', `${seconds.evaluations.toFixed(1)} s`],
  ]);
}

export function ending({ state, options }: RunFacts, { finished, early }: Ending): string {
  const how = early
    ? `ended after ${options.earlyStopping} validations without a better one`
    : finished
      ? 'trained to the end'
      : 'interrupted: ort-train --resume goes on';
  return `${state.batches} steps, ${state.step} updates; ${how}.`;
}
