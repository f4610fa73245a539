#!/usr/bin/env node
/** @file `npm run bench:int8`: trains the same run in float32 and with frozen products in 8 bits, and compares. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bootstrapMean } from '../../datasets/scoring/bootstrap.js';
import { UserError } from '../../graph-builder/errors.js';
import { evaluateRun } from '../../runtime/node/evaluate.js';
import { watchMemory } from '../../runtime/node/memory.js';
import { writeCurves } from '../../runtime/node/plots.js';
import type { StepEvent } from '../../runtime/node/training/events.js';
import { trainInChild } from '../../runtime/node/training/in-child.js';
import { trainDefaults } from '../../runtime/node/training/options.js';
import { writeJson } from '../../training-artifacts/files.js';
import { median } from './measure.js';
import { runMain } from './run-main.js';
import { formatSection, type Row } from './table.js';

const HELP = `npm run bench:int8 -- [options]
  --placements P   comma-separated (default: F/P/P,P/P/P)
  --variant NAME   default: lora-r8
  --preset NAME    default: miss-tiny, on its shipped base; others start from random weights
  --forms LIST     what computes with frozen weights (default: float32,int8); the first is compared with
  --seeds N        default: 3
  --epochs N       default: 10
  --limit N        first n training questions only
  --test-limit N   first n test questions only
  --cut LEVEL      auto, none, vit or kv (default: auto)
  --out FOLDER     keeps int8.json and the curves there (default: prints only)
  --json           print JSON
VQA-RAD, official split; both forms see the same questions in the same order with the same dropout. Prints loss by
epoch, accuracy on the test questions and the difference with its 95% interval (questions resampled, the mean over
seeds), seconds a step and peak memory of the process that trains.`;

interface Options {
  readonly variant: string;
  readonly preset: string;
  readonly epochs: number;
  readonly cut: (typeof trainDefaults)['cut'];
  readonly limit: number | undefined;
  readonly testLimit: number | undefined;
}

interface Trained {
  readonly steps: readonly StepEvent[];
  readonly secondsPerStep: number;
  readonly peakBytes: number;
  readonly correct: readonly boolean[];
}

/** Runs build-graph as users do. */
async function build(flags: readonly string[]): Promise<void> {
  const bin = new URL('../../runtime/node/cli/bin/build-graph.js', import.meta.url).pathname;
  const child = spawn(process.execPath, [bin, ...flags], { stdio: ['ignore', 'ignore', 'inherit'] });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`build-graph ended with code ${code}`);
}

/** Builds, trains and scores one run. */
async function measure(
  folder: string,
  placement: string,
  form: string,
  seed: number,
  options: Options,
): Promise<Trained> {
  const { variant, preset, epochs, cut, limit, testLimit } = options;
  const run = join(folder, 'run');
  rmSync(run, { recursive: true, force: true });
  const names = ['--variant', variant, '--placement', placement, '--preset', preset, '--seed', String(seed)];
  const compute = form === 'float32' ? [] : ['--frozen-compute', form];
  await build([...names, ...compute, '--out', folder, '--name', 'run']);
  const steps: StepEvent[] = [];
  const given = { ...trainDefaults, seed, epochs, cut, evalEvery: 0, limit: limit ?? null };
  const started = performance.now();
  const times: number[] = [];
  const training = trainInChild({ run, options: given, resume: false }, (event) => {
    if (event.type !== 'step') return;
    steps.push(event);
    times.push(given.batchSize / event.samplesPerSecond);
  });
  const memory = watchMemory(training.pid);
  await training.finished;
  const peakBytes = memory.stop();
  const { correct } = await evaluateRun(run, {
    data: 'vqa-rad',
    split: 'official',
    on: 'test',
    checkpoint: 'last',
    ...(testLimit !== undefined && { limit: testLimit }),
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.error(
    `${variant} ${placement} ${form} seed ${seed}: ${steps.length} steps, scored after ${seconds} s`,
  );
  return { steps, secondsPerStep: median(times), peakBytes, correct };
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Mean nats an answer token of each epoch, over the seeds. */
const curveOf = (seeds: readonly Trained[], epochs: number): number[] =>
  Array.from({ length: epochs }, (_, epoch) =>
    mean(
      seeds.flatMap(({ steps }) => steps.filter((s) => s.epoch === epoch).map(({ tokenLoss }) => tokenLoss)),
    ),
  );

/** A form's results beside those of the form it is compared with. */
function compare(form: string, ours: readonly Trained[], first: readonly Trained[], epochs: number): Row {
  const [a, b] = [curveOf(ours, epochs), curveOf(first, epochs)];
  // per question, the mean over seeds: questions are what is drawn at random
  const differences = first[0]!.correct.map((_, q) =>
    mean(ours.map(({ correct }, s) => Number(correct[q]) - Number(first[s]!.correct[q]))),
  );
  const { low, high } = bootstrapMean(differences);
  const percent = (share: number) => (100 * share).toFixed(1);
  return {
    form,
    'loss, last epoch': a.at(-1)!.toFixed(4),
    'largest difference of an epoch': `${(100 * Math.max(...a.map((l, i) => Math.abs(l / b[i]! - 1)))).toFixed(2)}%`,
    'accuracy %': ours.map(({ correct }) => percent(mean(correct.map(Number)))).join(' '),
    'difference, points [95%]':
      ours === first ? '' : `${percent(mean(differences))} [${percent(low)}, ${percent(high)}]`,
    's/step': median(ours.map((t) => t.secondsPerStep)).toFixed(3),
    'peak GB': (Math.max(...ours.map((t) => t.peakBytes)) / 1e9).toFixed(2),
  };
}

function options() {
  const { values } = parseArgs({
    options: {
      placements: { type: 'string', default: 'F/P/P,P/P/P' },
      variant: { type: 'string', default: 'lora-r8' },
      preset: { type: 'string', default: 'miss-tiny' },
      forms: { type: 'string', default: 'float32,int8' },
      seeds: { type: 'string', default: '3' },
      epochs: { type: 'string', default: '10' },
      limit: { type: 'string' },
      'test-limit': { type: 'string' },
      cut: { type: 'string', default: 'auto' },
      out: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const count = (name: 'seeds' | 'epochs' | 'limit' | 'test-limit'): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1) return value;
    throw new UserError(`'${values[name]}' is not a count`, `--${name}`, 'give a whole number from 1');
  };
  const optional = (name: 'limit' | 'test-limit') => (values[name] === undefined ? undefined : count(name));
  const [seeds, epochs] = [count('seeds'), count('epochs')];
  return { ...values, seeds, epochs, limit: optional('limit'), testLimit: optional('test-limit') };
}

/** All seeds of all forms of a placement; forms take turns, so that a slow minute of the machine slows both. */
async function measurePlacement(placement: string, forms: readonly string[], seeds: number, chosen: Options) {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-int8-'));
  const found = new Map(forms.map((form) => [form, [] as Trained[]]));
  try {
    for (let seed = 0; seed < seeds; seed++)
      for (const form of forms) found.get(form)!.push(await measure(folder, placement, form, seed, chosen));
    return found;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { placements, forms: list, seeds, json, help, out, ...chosen } = options();
  if (help) return console.log(HELP);
  const forms = list.split(',');
  const measured = { ...chosen, cut: chosen.cut as Options['cut'] };
  const sections = [];
  for (const placement of placements.split(',')) {
    const found = await measurePlacement(placement, forms, seeds, measured);
    const first = found.get(forms[0]!)!;
    const rows = forms.map((form) => compare(form, found.get(form)!, first, chosen.epochs));
    const curves = Object.fromEntries(forms.map((f) => [f, curveOf(found.get(f)!, chosen.epochs)]));
    const title = `${chosen.variant} ${placement} ${chosen.preset}, ${chosen.epochs} epochs, ${seeds} seeds, ${first[0]!.correct.length} test questions`;
    sections.push({ title, rows, curves });
    if (!json) console.log(formatSection({ title, rows }));
    if (!out) continue;
    mkdirSync(out, { recursive: true });
    const runs = forms.map((name) => ({
      name,
      steps: found.get(name)![0]!.steps.map((s) => ({ ...s, loss: s.tokenLoss })),
      evaluations: [],
    }));
    await writeCurves(runs, join(out, `curves-${placement.replaceAll('/', '')}.svg`), { title });
  }
  if (out) writeJson(join(out, 'int8.json'), sections);
  if (json) console.log(JSON.stringify(sections, null, 2));
}

await runMain(main);
