#!/usr/bin/env node
/** @file `npm run bench:base`: the paper's model at its real size, from building to training steps. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../../graph-builder/errors.js';
import { watchMemory } from '../../runtime/node/memory.js';
import { trainInChild } from '../../runtime/node/training/in-child.js';
import { type TrainOptions, trainDefaults } from '../../runtime/node/training/options.js';
import { readManifest, weightsPath } from '../../training-artifacts/graphs/manifest.js';
import { median } from './measure.js';
import { runMain } from './run-main.js';
import { formatSection, type Row } from './table.js';

const HELP = `npm run bench:base -- [options]
  --steps N       training steps a row (default: 3); the median is printed
  --batch-size N  questions a step, each on an image of its own (default: 2)
  --rows NAMES    comma-separated 'variant placement' pairs, e.g. 'lora-r8 F/P/P,ia3 F/P/P'; a third word is what
                  computes with frozen weights: 'lora-r8 P/P/P int8' (float32 if there is none)
  --preset NAME   default: miss-base
  --recompute M   none, selective or blocks (default: the program's choice)
  --questions-per-image K  questions on one image in a batch (default: 1)
  --memory M      packed or mapped weights (default: the program's choice)
  --cut LEVEL     none, vit or kv (default: none): a frozen image encoder is computed at every step
  --device NAME   as ort-train takes it (default: cpu); --precision float16 or bfloat16 is for cards
  --json          print JSON
Builds each row with the same random weights and trains it on VQA-RAD at the preset's image size. The largest
row needs 15 GB of memory, the folder for temporary files 6 GB.`;

/** Four placements of LoRA, a row of each other method, and frozen products in 8 bits. */
const defaultRows = [
  'lora-r8 F/P/P',
  'lora-r8 P/P/P',
  'lora-r8 T/P/P',
  'lora-r8 T/T/P',
  'prefix-n10 F/P/P',
  'ia3 F/P/P',
  'ptv2-n10 F/P/P',
  'lora-r8 F/P/P int8',
  'lora-r8 P/P/P int8',
  'lora-r8 P/P/P int8-weight-only',
];

interface Options {
  readonly steps: number;
  readonly batchSize: number;
  readonly preset: string;
  readonly recompute: string;
  readonly cut: string;
  readonly memory: string;
  readonly questionsPerImage: number;
  readonly device: string;
  readonly precision: string;
}

/** Runs build-graph as users do. */
async function build(args: readonly string[]): Promise<{ seconds: number; peakBytes: number }> {
  const started = performance.now();
  const bin = new URL('../../runtime/node/cli/bin/build-graph.js', import.meta.url).pathname;
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  const memory = watchMemory(child.pid!);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`build-graph ended with code ${code}`);
  return { seconds: (performance.now() - started) / 1000, peakBytes: memory.stop() };
}

/** Trains a run for some steps in the trainer's own process. */
async function train(
  run: string,
  { steps, batchSize, cut, memory: kept, questionsPerImage, device }: Options,
): Promise<{ seconds: number; loss: number; peakBytes: number }> {
  const seconds: number[] = [];
  let loss = Number.NaN;
  // with a cut the first epoch computes what later ones read: the last epoch is measured
  const epochs = cut === 'none' ? 1 : 2;
  const options = {
    ...trainDefaults,
    batchSize,
    // images with several questions are scattered over the data set
    limit: questionsPerImage === 1 ? steps * batchSize : null,
    questionsPerImage,
    cut: cut as TrainOptions['cut'],
    weightsInMemory: kept as TrainOptions['weightsInMemory'],
    device,
    epochs,
    evalEvery: 0,
    lr: 1e-5,
  };
  const training = trainInChild({ run, options, resume: false, maxSteps: epochs * steps }, (event) => {
    if (event.type !== 'step') return;
    seconds.push(batchSize / event.samplesPerSecond);
    loss = event.loss;
  });
  const memory = watchMemory(training.pid);
  await training.finished;
  return { seconds: median(seconds.slice(-steps)), loss, peakBytes: memory.stop() };
}

const gigabytes = (bytes: number): number => bytes / 1e9;

async function measureRow(name: string, weights: string, folder: string, options: Options): Promise<Row> {
  const [variant, placement, compute] = name.split(' ') as [string, string, string?];
  const run = join(folder, name.replace(/\W+/g, '-'));
  const flags = [
    '--variant',
    variant,
    '--placement',
    placement,
    '--preset',
    options.preset,
    '--precision',
    options.precision,
    ...(options.recompute ? ['--recompute', options.recompute] : []),
    ...(compute ? ['--frozen-compute', compute, '--int8-skip', 'none'] : []),
  ];
  const built = await build([...flags, '--out', folder, '--name', basename(run), '--weights', weights]);
  const trained = await train(run, options);
  const { trainable } = readManifest(run).parameters;
  rmSync(run, { recursive: true });
  return {
    row: name,
    'trainable M': trainable / 1e6,
    'build s': built.seconds,
    's/step': trained.seconds,
    'samples/s': options.batchSize / trained.seconds,
    'peak GB': gigabytes(trained.peakBytes),
    'last loss': trained.loss,
  };
}

function options() {
  const { values } = parseArgs({
    options: {
      steps: { type: 'string', default: '3' },
      'batch-size': { type: 'string', default: '2' },
      rows: { type: 'string', default: defaultRows.join() },
      preset: { type: 'string', default: 'miss-base' },
      recompute: { type: 'string', default: '' },
      cut: { type: 'string', default: 'none' },
      memory: { type: 'string', default: 'auto' },
      'questions-per-image': { type: 'string', default: '1' },
      device: { type: 'string', default: 'cpu' },
      precision: { type: 'string', default: 'float32' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const count = (name: 'steps' | 'batch-size' | 'questions-per-image'): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1) return value;
    throw new UserError(`'${values[name]}' is not a count`, `--${name}`, 'give a whole number from 1');
  };
  return {
    ...values,
    questionsPerImage: count('questions-per-image'),
    steps: count('steps'),
    batchSize: count('batch-size'),
    rows: values.rows.split(','),
  };
}

async function main(): Promise<void> {
  const { rows, json, help, ...chosen } = options();
  if (help) return console.log(HELP);
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-base-'));
  try {
    // random weights are written once and shared by all rows
    const first = join(folder, 'weights');
    const made = await build([
      '--variant',
      'lora-r8',
      '--preset',
      chosen.preset,
      '--weights',
      'random',
      '--out',
      folder,
      '--name',
      'weights',
    ]);
    const weights = weightsPath(first, readManifest(first));
    const title = `${chosen.preset}, batch ${chosen.batchSize}, ${chosen.device}, ${chosen.precision}, ${cpus().length} CPUs (${cpus()[0]?.model}); random weights and graphs written in ${made.seconds.toFixed(0)} s with ${gigabytes(made.peakBytes).toFixed(2)} GB`;
    const measured: Row[] = [];
    for (const row of rows) {
      measured.push(await measureRow(row.trim(), weights, folder, chosen));
      if (!json) console.error(Object.values(measured.at(-1)!).join('  '));
    }
    console.log(
      json ? JSON.stringify({ title, rows: measured }, null, 2) : formatSection({ title, rows: measured }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runMain(main);
