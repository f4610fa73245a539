/** @file `ort-weights inspect`: what a file or folder of weights holds. */
import type { Argv } from 'yargs';
import { printable } from '../../../../training-artifacts/weights/formats/source.js';
import type { InspectedTensor, Inspection } from '../../../../training-artifacts/weights/inspect.js';
import { defineCommand, formatCount, formatTable, subcommand } from '../main.js';

const options = (y: Argv) =>
  y
    .positional('path', {
      type: 'string',
      demandOption: true,
      describe:
        'weights (safetensors, .pth, .bin, .npz, their index or model folder), a PEFT adapter, a run folder, a checkpoint, an .onnx file',
    })
    .option('json', { type: 'boolean', default: false, describe: 'print everything, each tensor, as JSON' })
    .example('$0 inspect checkpoint.pth', 'names, types and shapes; nothing in the file is run')
    .example('$0 inspect runs/lora-r8', 'what a run trains, and its checkpoints');

/** Longer lists are cut in the table; --json has them whole. */
const MOST = 60;
const MOST_MODULES = 12;
const LONG = 1000;

const shown = (value: unknown): string => {
  if (typeof value === 'string') return printable(value, LONG);
  if (Array.isArray(value) && value.every((v) => typeof v === 'string'))
    return printable(value.join(', '), LONG);
  return JSON.stringify(value);
};

/** Tensors that differ in numbers of their names only. */
function familyRows(tensors: readonly InspectedTensor[]): string[][] {
  const counts = new Map<string, { row: readonly string[]; count: number }>();
  for (const { name, dtype, shape } of tensors) {
    const row = [printable(name, LONG).replace(/(^|\.)\d+(?=\.)/g, '$1*'), dtype, `[${shape}]`];
    const key = row.join('\n');
    counts.set(key, { row, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()].map(({ row, count }) => [row[0]!, String(count), ...row.slice(1)]);
}

/** The largest modules; exporters name some weights after nothing. */
function moduleTable(modules: Inspection['modules']): string {
  const rows = Object.entries(modules).sort(([, a], [, b]) => b.parameters - a.parameters);
  const kept = rows.length > MOST_MODULES ? rows.slice(0, MOST_MODULES) : Object.entries(modules);
  const others = rows.slice(kept.length).map(([, c]) => c);
  const sum = (key: 'tensors' | 'parameters') => others.reduce((n, c) => n + c[key], 0);
  return formatTable([
    ['module', 'tensors', 'numbers'],
    ...kept.map(([name, c]) => [printable(name), String(c.tensors), formatCount(c.parameters)]),
    ...(others.length > 0 ? [['others', String(sum('tensors')), formatCount(sum('parameters'))]] : []),
  ]);
}

function reportOf({ path, kind, facts, tensors, modules }: Inspection): string {
  const total = Object.values(modules).reduce((n, { parameters }) => n + parameters, 0);
  const rows = familyRows(tensors);
  const sections = [
    `${path}: ${kind}, ${formatCount(tensors.length)} tensors, ${formatCount(total)} numbers`,
    Object.entries(facts)
      .map(([name, value]) => `  ${name}: ${shown(value)}`)
      .join('\n'),
    moduleTable(modules),
    formatTable([['tensor', 'count', 'type', 'shape'], ...rows.slice(0, MOST)]),
    rows.length > MOST && `... and ${rows.length - MOST} more kinds: --json lists every tensor`,
  ];
  return sections.filter(Boolean).join('\n\n');
}

export const inspectCommand = subcommand(
  'inspect <path>',
  defineCommand({
    describe: 'What a file or folder of weights holds: names, types, shapes, layout, adapter',
    options,
    handler: async ({ path, json }) => {
      const { inspectWeights } = await import('../../../../training-artifacts/weights/inspect.js');
      const inspection = await inspectWeights(path);
      console.log(json ? JSON.stringify(inspection) : reportOf(inspection));
    },
  }),
);
