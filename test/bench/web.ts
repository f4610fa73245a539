#!/usr/bin/env node
/** @file `npm run bench:web`: the paper's model in a tab of Chromium, and the bundled data's epoch on miss-tiny. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../../graph-builder/errors.js';
import { formatSection, type Section } from './table.js';
import { answerSection } from './web/answer.js';
import { runBin } from './web/programs.js';

const HELP = `npm run bench:web -- [options]
  --only NAMES   comma-separated parts: answer, train, epoch (default: all)
  --preset NAME  of answer and train (default: miss-base)
  --weights W    of answer: comma-separated none, fp16, int8 (default: int8,fp16)
  --folder DIR   where runs are written, or lie from the last time; default: a temporary one, removed at the end
  --json         print JSON
answer: random weights, exported and served; download, compile, two answers at the preset's image size, memory.`;

interface Options {
  readonly preset: string;
  readonly weights: readonly string[];
  readonly folder: string;
}

async function answer({ preset, weights, folder }: Options): Promise<Section> {
  const run = join(folder, 'answer');
  const flags = ['--variant', 'lora-r8', '--placement', 'F/P/P', '--preset', preset, '--weights', 'random'];
  if (!existsSync(run)) await runBin('build-graph', [...flags, '--out', folder, '--name', 'answer']);
  return { title: `Answering with ${preset}`, rows: await answerSection(run, folder, weights) };
}

const parts: Record<string, (options: Options) => Promise<Section>> = { answer };

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: Object.keys(parts).join() },
      preset: { type: 'string', default: 'miss-base' },
      weights: { type: 'string', default: 'int8,fp16' },
      folder: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const only = values.only.split(',');
  const unknown = only.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined)
    throw new UserError(`unknown part '${unknown}'`, '--only', `choose from ${Object.keys(parts)}`);
  return { ...values, only, weights: values.weights.split(',') };
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

try {
  await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error; // a bug of ours: here the stack helps
  console.error(error.message);
  process.exitCode = 2;
}
