#!/usr/bin/env node
/** @file `npm run bench`: what the project claims about speed, measured on this machine. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { UserError } from '../../graph-builder/errors.js';
import { runtimeVersion } from '../../runtime/node/ort.js';
import { blockPair, profilePair } from './block-pair.js';
import { dropoutCost } from './dropout.js';
import type { BenchOptions } from './measure.js';
import { optimizerSpeed } from './optimizer.js';
import { profileRun, type RunToProfile } from './profile-run.js';
import { runMain } from './run-main.js';
import { formatSection, type Row, type Section } from './table.js';
import { trainingStep } from './training-step.js';
import { vitStep } from './vit-step.js';

const HELP = `npm run bench -- [options]
  --only NAMES   comma-separated parts: blocks, vit, tiny, dropout, denormals, adamw, profile (default: all but vit, which
                 takes 5 GB and minutes, and profile)
  --images N     images a step of vit (default: 1)
  --run FOLDER   what profile profiles: training steps of this run (default: two blocks of a ViT)
  --batch-size N, --questions-per-image K, --cut none|vit|kv   of these steps (default: 2, 1, none)
  --repeats N    measurements of each thing, in turn (default: 7); the median is printed
  --threads N    threads inside an operator (default: the CPUs); 1 is steadier on a busy machine
  --json         print JSON
Ratios within one run compare; times of two machines or two days do not.`;

/** Each provider in a process of its own: flushing denormals holds for a whole process. */
async function denormals(repeats: number): Promise<Section> {
  const rows: Row[] = [];
  for (const provider of ['node', 'wasm']) {
    const child = fork(new URL('./denormals.js', import.meta.url), [provider, String(repeats)]);
    const [message] = await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(([code]): never => {
        throw new Error(`the ${provider} process ended with code ${code}`);
      }),
    ]);
    rows.push(...(message as Row[]));
  }
  return { title: 'Gradients of 1e-40, miss-tiny lora-r8 T/T/P, batch 4 (goal: ratio <= 1.5 at 2^32)', rows };
}

interface Options extends BenchOptions, Omit<RunToProfile, 'run'> {
  readonly images: number;
  readonly run?: string | undefined;
}

const parts: Record<string, (options: Options) => Promise<readonly Section[]>> = {
  blocks: async (options) => [await blockPair(1, options), await blockPair(2, options)],
  vit: async (options) => [await vitStep(options.images, options)],
  tiny: async (options) => [await trainingStep(options)],
  dropout: async (options) => [await dropoutCost(options)],
  denormals: async ({ repeats }) => [await denormals(repeats)],
  adamw: async (options) => [await optimizerSpeed(options)],
  profile: async ({ run, ...options }) => [await (run ? profileRun({ run, ...options }) : profilePair(2))],
};

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: 'blocks,tiny,dropout,denormals,adamw' },
      repeats: { type: 'string', default: '7' },
      threads: { type: 'string', default: String(cpus().length) },
      images: { type: 'string', default: '1' },
      run: { type: 'string' },
      'batch-size': { type: 'string', default: '2' },
      'questions-per-image': { type: 'string', default: '1' },
      cut: { type: 'string', default: 'none' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const only = values.only.split(',');
  const count = (name: 'repeats' | 'threads' | 'images' | 'batch-size' | 'questions-per-image'): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1) return value;
    throw new UserError(`'${values[name]}' is not a count`, `--${name}`, 'give a whole number from 1');
  };
  const unknown = only.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined)
    throw new UserError(`unknown part '${unknown}'`, '--only', `choose from ${Object.keys(parts)}`);
  const cut = (['none', 'vit', 'kv'] as const).find((level) => level === values.cut);
  if (!cut) throw new UserError(`unknown cut '${values.cut}'`, '--cut', 'choose none, vit or kv');
  return {
    ...{ ...values, only, cut },
    ...{ repeats: count('repeats'), threads: count('threads'), images: count('images') },
    ...{ batchSize: count('batch-size'), questionsPerImage: count('questions-per-image') },
  };
}

async function main(): Promise<void> {
  const { only, json, help, ...chosen } = options();
  const { repeats, threads } = chosen;
  if (help) return console.log(HELP);
  const machine = `${cpus()[0]?.model}, ${cpus().length} CPUs, ${threads} threads, onnxruntime ${runtimeVersion()}, Node ${process.version}`;
  if (!json) console.log(machine);
  const sections: Section[] = [];
  for (const name of only) {
    for (const section of await parts[name]!(chosen)) {
      sections.push(section);
      if (!json) console.log(`\n${formatSection(section)}`);
    }
  }
  if (json) console.log(JSON.stringify({ machine, repeats, threads, sections }, null, 2));
}

await runMain(main);
