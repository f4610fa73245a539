/** @file The grids that ship and those of YAML files: which rows, which commands, which errors. */
import { expect, test } from 'vitest';
import { UserError } from '../../../../graph-builder/errors.js';
import { paperRows } from '../../../../graph-builder/variant/paper-rows.js';
import { parseTables } from '../../../../runtime/node/cli/ort-study.js';
import { formatSeconds, parseBudget } from '../../../../runtime/node/study/budget.js';
import {
  buildCommand,
  evaluateCommand,
  shellLine,
  trainCommand,
} from '../../../../runtime/node/study/commands.js';
import { figuresOf, paperFigures } from '../../../../runtime/node/study/paper.js';
import { cellsOf, paperGrid, quickGrid } from '../../../../runtime/node/study/paper-grid.js';
import { parseYamlGrid } from '../../../../runtime/node/study/yaml-grid.js';
import { context } from './fabricate.js';

const options = { preset: 'miss-tiny' };
const all = paperGrid([1, 2, 3, 4, 5, 6, 7], options);
const study = { ...context, out: 'study', machine: {} };

test('the paper grid: 23 rows on original data, 23 on instruction data, 3 of Table 5, the base', () => {
  const grid = all.filter(({ tables }) => tables.some((t) => t !== 5));
  expect(grid.filter(({ form }) => form === 'original')).toHaveLength(23);
  expect(grid.filter(({ form }) => form === 'instruction')).toHaveLength(23);
  expect(all).toHaveLength(23 + 23 + 3 + 1);
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  expect(all[0]).toMatchObject({ id: 'base', trained: false });
  expect(paperGrid([1, 2, 3, 4], options)).toHaveLength(24);
});

test('every grid row has the paper’s figures, and its share of parameters is that of the paper’s row', () => {
  for (const { tables, variant, placement } of all) {
    for (const table of tables.filter((t) => t !== 5)) {
      const own = paperRows.find((row) => row.variant === variant && row.placement === placement)!;
      expect(figuresOf(table, variant, placement)?.percent, `${table} ${variant} ${placement}`).toBe(
        own.percent,
      );
    }
  }
  const { table1, table6, table7 } = paperFigures();
  expect([table1.length, table6.length + table7.length]).toEqual([10, 23]);
});

test('telling rows come first', () => {
  const first = all.slice(1, 5).map(({ variant, placement }) => `${variant} ${placement}`);
  expect(first).toEqual(['lora-r8 T/T/P', 'prefix-n10 T/T/P', 'ia3 T/T/P', 'ptv2-n10 T/T/P']);
  const second = all.findIndex(({ id }) => id === 'full-then-instruct');
  expect(second).toBeGreaterThan(all.findIndex(({ id }) => id === 'full'));
  expect(quickGrid(options).map(({ id }) => id)).toContain('full');
});

test('rows as commands', () => {
  const row = (id: string) => all.find((r) => r.id === id)!;
  const of = (id: string, seed: number) => {
    const run = { row: row(id), seed };
    return shellLine([buildCommand(study, run), trainCommand(study, run), evaluateCommand(study, run)]);
  };
  expect(of('lora-r8-fpp', 1)).toBe(
    'npx build-graph --variant lora-r8 --placement F/P/P --preset miss-tiny --out study/runs --name lora-r8-fpp-s1 --seed 1 --module-dropout 0 && ' +
      'npx ort-train --run study/runs/lora-r8-fpp-s1 --data vqa-rad --split official --seed 1 --epochs 12 --batch-size 32 --lr 0.002 --eval-every 4 && ' +
      'npx ort-eval --run study/runs/lora-r8-fpp-s1 --data vqa-rad --split official',
  );
  expect(of('full-then-instruct', 0)).toContain('--init-from study/runs/full-s0');
  expect(of('full-then-instruct', 0)).not.toContain('--placement');
  expect(of('base', 0)).toContain('--checkpoint base');
  const spaced = shellLine([{ bin: 'ort-eval', args: ['--run', "a b's"] }]);
  expect(spaced).toBe(`npx ort-eval --run 'a b'\\''s'`);
});

test('base weights of one’s own go to every row', () => {
  const own = { preset: 'miss-small', weights: 'base.safetensors', normalisation: 'clip' };
  const rows = [...paperGrid([1, 5], own), ...parseYamlGrid('method: ia3\nalpha: 16', 'g.yaml', own)];
  for (const { build } of rows)
    expect(build).toMatchObject({ weights: 'base.safetensors', normalisation: 'clip' });
  expect(rows.at(-1)!.build.alpha).toBe(16);
  expect(rows[1]!.build).not.toHaveProperty('module-dropout');
});

test('cells as the paper prints them', () => {
  expect(cellsOf({ variant: 'lora-r8', placement: 'F/T/P' })).toEqual(['F', 'T', 'LoRA']);
  expect(cellsOf({ variant: 'ptv2-n10', placement: 'F/F/P' })).toEqual(['F', 'F', 'PTV2']);
});

test('YAML: lists are crossed, values that mean nothing to a method make no rows', () => {
  const source = 'method: [lora, ia3]\nrank: [4, 8]\nplacement: [F/P/P, t/t/p]\nlr: [5e-4, 2e-3]\n';
  const rows = parseYamlGrid(source, 'grid.yaml', options);
  expect(rows).toHaveLength(2 * 2 * 2 + 2 * 2);
  expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
  expect(rows[0]).toMatchObject({
    id: 'lora-r4-fpp-lr0.0005',
    label: 'lora-r4 F/P/P, lr 0.0005',
    train: { lr: 5e-4, epochs: 10 },
    varied: { variant: 'lora-r4', placement: 'F/P/P', lr: 5e-4 },
  });
});

test('YAML: several crosses, sizes and sites', () => {
  const source = `
- method: dora
  rank: 4
  sites: ["**.query.weight", peft]
  image-size: [96, 160]
- method: full
  questions-per-image: [1, 4]
`;
  const rows = parseYamlGrid(source, 'grid.yaml', { ...options, epochs: 3 });
  expect(rows).toHaveLength(6);
  expect(rows[0]!.build).toEqual({ sites: '**.query.weight', 'image-size': 96 });
  expect(rows[5]).toMatchObject({ placement: 'T/T/T', train: { 'questions-per-image': 4, epochs: 3 } });
});

test.each<[string, string, RegExp]>([
  [
    'an unknown key',
    'method: lora\nrnk: 4\n',
    /^unknown key 'rnk'\n {2}where: g\.yaml:2:1\n {2}to do: is rank meant\?/,
  ],
  [
    'an unknown key in a list',
    '- method: lora\n- method: ia3\n  colour: red\n',
    /^unknown key 'colour'\n {2}where: g\.yaml:3:3\n/,
  ],
  ['a value of the wrong kind', 'method: lora\nrank: [4, many]\n', /^rank: .*\n {2}where: g\.yaml:2:11\n/],
  ['an unknown method', 'method: lroa\n', /^method: .*\n {2}where: g\.yaml:1:9\n/],
  [
    'a bad placement',
    'method: lora\nplacement: F/P\n',
    /^placement: is not three of F, T and P.*\n {2}where: g\.yaml:2:12\n/,
  ],
  ['broken YAML', 'method: [lora\nrank: 4\n', /^not YAML: .*\n {2}where: g\.yaml:\d+:\d+\n/],
  ['nothing', '', /\n {2}where: g\.yaml:1:1\n/],
  ['no method', 'rank: 4\n', /^method: /],
  ['a rate of nothing', 'method: lora\nlr: 0\n', /^lr: .*\n {2}where: g\.yaml:2:5/],
  [
    'too many rows',
    `method: lora\nlr: [${Array.from({ length: 30 }, (_, i) => i + 1)}]\nepochs: [${Array.from({ length: 30 }, (_, i) => i + 1)}]`,
    /^900 rows/,
  ],
])('YAML with %s is refused with its place', (_what, source, message) => {
  const parse = () => parseYamlGrid(source, 'g.yaml', options);
  expect(parse).toThrow(UserError);
  expect(parse).toThrow(message);
});

test('tables and times', () => {
  expect(parseTables('1-4')).toEqual([1, 2, 3, 4]);
  expect(parseTables('5,7')).toEqual([5, 7]);
  for (const bad of ['', '0-4', '8', '4-1', '1-', 'one'])
    expect(() => parseTables(bad), bad).toThrow(/give numbers from 1 to 7/);
  expect(['90s', '45m', '2h', '1h30m', '1.5 h'].map(parseBudget)).toEqual([90, 2700, 7200, 5400, 5400]);
  for (const bad of ['0h', '', '2', '-1h', '2 hours', 'h'])
    expect(() => parseBudget(bad), bad).toThrow(/no time to work with/);
  expect([30, 600, 7200].map(formatSeconds)).toEqual(['30 s', '10 min', '2.0 h']);
});
