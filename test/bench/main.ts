#!/usr/bin/env node
/** @file `npm run bench`: what the project claims about speed, measured on this machine. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { UserError } from '../../graph-builder/errors.js';
import { runtimeVersion } from '../../runtime/node/ort.js';
import { blockPair, profilePair } from './block-pair.js';
import { formatSection, type Row, type Section } from './table.js';
import { trainingStep } from './training-step.js';

const HELP = `npm run bench -- [options]
  --only NAMES   comma-separated parts: blocks, tiny, denormals, profile (default: the first three)
  --repeats N    measurements of each thing, in turn (default: 7); the median is printed
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

const parts: Record<string, (repeats: number) => Promise<readonly Section[]>> = {
  blocks: async (repeats) => [await blockPair(1, repeats), await blockPair(2, repeats)],
  tiny: async (repeats) => [await trainingStep(repeats)],
  denormals: async (repeats) => [await denormals(repeats)],
  profile: async () => [await profilePair(2)],
};

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: 'blocks,tiny,denormals' },
      repeats: { type: 'string', default: '7' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const only = values.only.split(',');
  const repeats = Number(values.repeats);
  const unknown = only.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined)
    throw new UserError(`unknown part '${unknown}'`, '--only', `choose from ${Object.keys(parts)}`);
  if (!Number.isInteger(repeats) || repeats < 1)
    throw new UserError(`'${values.repeats}' is not a count`, '--repeats', 'give a whole number from 1');
  return { ...values, only, repeats };
}

async function main(): Promise<void> {
  const { only, repeats, json, help } = options();
  if (help) return console.log(HELP);
  const machine = `${cpus()[0]?.model}, ${cpus().length} CPUs, onnxruntime ${runtimeVersion()}, Node ${process.version}`;
  if (!json) console.log(machine);
  const sections: Section[] = [];
  for (const name of only) {
    for (const section of await parts[name]!(repeats)) {
      sections.push(section);
      if (!json) console.log(`\n${formatSection(section)}`);
    }
  }
  if (json) console.log(JSON.stringify({ machine, repeats, sections }, null, 2));
}

await main();
