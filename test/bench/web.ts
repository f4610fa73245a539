#!/usr/bin/env node
/** @file `npm run bench:web`: the paper's model in a tab of Chromium, and the bundled data's epoch on miss-tiny. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../../graph-builder/errors.js';
import { runMain } from './run-main.js';
import { formatSection, type Row, type Section } from './table.js';
import { answerSection } from './web/answer.js';
import { runBin } from './web/programs.js';
import { epochRow, trainRow } from './web/train.js';

const HELP = `npm run bench:web -- [options]
  --only NAMES   comma-separated parts: answer, train, epoch (default: all)
  --preset NAME  of answer and train (default: miss-base)
  --weights W    of answer: comma-separated none, fp16, int8 (default: int8,fp16)
  --limit N      of epoch: first training and validation questions only (default: all)
  --folder DIR   where runs are written, or lie from the last time; default: a temporary one, removed at the end
  --json         print JSON
  --runs R       of train: exported, built or both (default: both)
  --steps N, --batch-size N   of train (default: 4 and 1)
answer: random weights, exported and served; download, compile, two answers at the preset's image size, memory.
train: the same with a frozen image encoder and frozen weights in 8 bits, trained for some steps on the page and in Node.
epoch: the bundled training split on miss-tiny, two epochs with the page's own settings.`;

interface Options {
  readonly preset: string;
  readonly weights: readonly string[];
  readonly folder: string;
  readonly runs: readonly string[];
  readonly steps: number;
  readonly limit: number;
  readonly batchSize: number;
}

const flagsOf = (preset: string, weights: string): string[] => [
  ...['--variant', 'lora-r8', '--placement', 'F/P/P', '--preset', preset, '--weights', weights],
];

/** A run of drawn weights, made once. @returns the path of the weights */
async function randomWeights(preset: string, folder: string): Promise<string> {
  const run = join(folder, 'answer');
  if (!existsSync(run))
    await runBin('build-graph', [...flagsOf(preset, 'random'), '--out', folder, '--name', 'answer']);
  return join(run, 'model.safetensors');
}

async function answer({ preset, weights, folder }: Options): Promise<Section> {
  await randomWeights(preset, folder);
  const run = join(folder, 'answer');
  return { title: `Answering with ${preset}`, rows: await answerSection(run, folder, weights) };
}

/** The run as build-graph makes it, and its export, a quarter of the download. */
async function train({ preset, folder, steps, batchSize, runs }: Options): Promise<Section> {
  const [run, out] = [join(folder, 'train'), join(folder, 'train-exported')];
  for (const old of [run, out]) rmSync(old, { recursive: true, force: true });
  const int8 = ['--frozen-compute', 'int8', '--int8-skip', 'none'];
  const weights = await randomWeights(preset, folder);
  await runBin('build-graph', [...flagsOf(preset, weights), ...int8, '--out', folder, '--name', 'train']);
  const quantize = ['--quantize', 'int8', '--int8-skip', 'none', '--with-training', '--no-score'];
  await runBin('ort-weights', ['export-web', run, '--out', out, ...quantize]);
  const job = { train: steps * batchSize, validation: 0, batchSize, epochs: 1 };
  const rows: Row[] = [];
  for (const [name, path] of [
    ['exported', out],
    ['built', run],
  ] as const)
    if (runs.includes(name)) rows.push(await trainRow(name, path, folder, job));
  return { title: `Fine-tuning ${preset} in int8, lora-r8 F/P/P`, rows };
}

async function epoch({ folder, limit }: Options): Promise<Section> {
  const run = join(folder, 'epoch');
  rmSync(run, { recursive: true, force: true });
  await runBin('build-graph', [...flagsOf('miss-tiny', 'pretrained'), '--out', folder, '--name', 'epoch']);
  return {
    title: 'The bundled data on miss-tiny, lora-r8 F/P/P',
    rows: [await epochRow(run, folder, limit)],
  };
}

const parts: Record<string, (options: Options) => Promise<Section>> = { answer, train, epoch };

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: Object.keys(parts).join() },
      preset: { type: 'string', default: 'miss-base' },
      weights: { type: 'string', default: 'int8,fp16' },
      steps: { type: 'string', default: '4' },
      'batch-size': { type: 'string', default: '1' },
      limit: { type: 'string', default: 'none' },
      runs: { type: 'string', default: 'exported,built' },
      folder: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const only = values.only.split(',');
  const unknown = only.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined)
    throw new UserError(`unknown part '${unknown}'`, '--only', `choose from ${Object.keys(parts)}`);
  const count = (name: 'steps' | 'batch-size' | 'limit'): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1) return value;
    throw new UserError(`'${values[name]}' is not a count`, `--${name}`, 'give a whole number from 1');
  };
  const limit = values.limit === 'none' ? Number.POSITIVE_INFINITY : count('limit');
  const [steps, batchSize] = [count('steps'), count('batch-size')];
  return {
    ...values,
    only,
    weights: values.weights.split(','),
    runs: values.runs.split(','),
    limit,
    steps,
    batchSize,
  };
}

async function main(): Promise<void> {
  const { only, folder: given, json, help, ...chosen } = options();
  if (help) return console.log(HELP);
  const machine = `${cpus()[0]?.model}, ${cpus().length} CPUs, Node ${process.version}`;
  if (!json) console.log(machine);
  const folder = given ?? mkdtempSync(join(tmpdir(), 'mile-ort-web-'));
  const sections: Section[] = [];
  try {
    for (const name of only) {
      sections.push(await parts[name]!({ ...chosen, folder }));
      if (!json) console.log(`\n${formatSection(sections.at(-1)!)}`);
    }
  } finally {
    if (given === undefined) rmSync(folder, { recursive: true, force: true });
  }
  if (json) console.log(JSON.stringify({ machine, sections }, null, 2));
}

await runMain(main);
