/** @file What a report says of studies whose numbers are known. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Papa from 'papaparse';
import { beforeAll, describe, expect, test } from 'vitest';
import { isYesNo } from '../../../../datasets/scoring/normalise-answer.js';
import { expectedSeconds, expectedTotal } from '../../../../runtime/node/study/budget.js';
import { collect } from '../../../../runtime/node/study/collect.js';
import { runFolder } from '../../../../runtime/node/study/commands.js';
import { paretoFront } from '../../../../runtime/node/study/figures.js';
import { findings } from '../../../../runtime/node/study/findings.js';
import { paperGrid } from '../../../../runtime/node/study/paper-grid.js';
import { writeStudyReport } from '../../../../runtime/node/study/report.js';
import type { Row, StudyRun } from '../../../../runtime/node/study/row.js';
import { isFinished } from '../../../../runtime/node/study/run-state.js';
import { agreement, compareRows } from '../../../../runtime/node/study/scores.js';
import { joinSettings, readSettings, runsOf } from '../../../../runtime/node/study/settings.js';
import { writeState } from '../../../../runtime/node/study/state.js';
import { answering, context, fabricate, type Looks, testQuestions, writeRun } from './fabricate.js';

const grid = paperGrid([1, 2, 3, 4, 5, 6, 7], { preset: 'miss-tiny' });
const rows = (...ids: string[]): Row[] => ids.map((id) => grid.find((row) => row.id === id)!);

/** Share of yes/no and of other questions that a row answers right. */
const shares: Record<string, [open: number, closed: number]> = {
  base: [0.1, 0.5],
  'lora-r8-ttp': [0.3, 0.7],
  'lora-r8-fpp': [0.1, 0.52],
  'prefix-n10-ttp': [0.3, 0.69],
  'ia3-ttp': [0.12, 0.55],
  'ptv2-n10-ttp': [0.12, 0.55],
  'lora-r8-ttp-instruct': [0.05, 0.5],
  full: [0.3, 0.66],
  'full-then-instruct': [0.3, 0.66],
};
const looks = ({ row, seed }: StudyRun): Looks => {
  const [open, closed] = shares[row.id]!;
  // the same draws for all rows: a better row answers what a worse one does, and more; seeds differ
  return { answer: answering(open, closed, `seed ${seed}`), trainable: 1000 * (row.id.length + 1) };
};

const ids = Object.keys(shares);
let out = '';
let report = { html: '', markdown: '' };
const studyJson = () =>
  JSON.parse(readFileSync(join(out, 'study.json'), 'utf8')) as {
    rows: Record<string, string | number>[];
    findings: { claim: string; verdict: string }[];
    missing: { row: string; seed: number }[];
  };

beforeAll(async () => {
  out = fabricate(rows(...ids), [0, 1], (run) =>
    run.row.id === 'ia3-ttp'
      ? { ...looks(run), epochs: 9 }
      : run.row.id === 'ptv2-n10-ttp' && run.seed === 1
        ? undefined
        : looks(run),
  );
  writeState(out, { 'ptv2-n10-ttp-s1': { status: 'cut', reason: 'the budget did not reach' } });
  await writeStudyReport({ out });
  report = {
    html: readFileSync(join(out, 'report.html'), 'utf8'),
    markdown: readFileSync(join(out, 'report.md'), 'utf8'),
  };
});

/** Accuracy of answers that the test counts itself, percent. */
const counted = (id: string, seed: number, keep: (answer: string) => boolean): number => {
  const [open, closed] = shares[id]!;
  const answer = answering(open, closed, `seed ${seed}`);
  const kept = testQuestions.map((q, i) => [q, answer(q, i)] as const).filter(([q]) => keep(q.answer));
  return (100 * kept.filter(([q, a]) => q.answer === a).length) / kept.length;
};

test('means over seeds are those that are counted', () => {
  const { rows: records } = studyJson();
  for (const [kind, keep] of [
    ['open', (a: string) => !isYesNo(a)],
    ['closed', isYesNo],
    ['all', () => true],
  ] as const) {
    const record = records.find((r) => r.row === 'lora-r8-ttp' && r.questions === kind)!;
    expect(record.mean, kind).toBeCloseTo(
      (counted('lora-r8-ttp', 0, keep) + counted('lora-r8-ttp', 1, keep)) / 2,
      3,
    );
    expect(record.low).toBeLessThan(record.mean as number);
    expect(record.high).toBeGreaterThan(record.mean as number);
    expect(record.seeds).toBe(2);
  }
  expect(records.find((r) => r.row === 'lora-r8-ttp' && r.questions === 'all')!.paper).toBe(79.3);
});

test('the tables have the paper’s figures beside ours, and say what they cost: a step by the median', () => {
  const table = report.markdown.split('### Table 1: LoRA')[1]!.split('###')[0]!;
  const [, , best] = table.split('\n').filter((line) => line.startsWith('| F') || line.startsWith('| T'));
  const line = table.split('\n').find((l) => l.startsWith('| T | T | LoRA | 8'))!;
  expect(best).toBeUndefined();
  for (const cell of ['61.919%', '78.66', '80.56', '79.30', '28.11', '1', '0.25', '1.50', '1.00'])
    expect(
      line.split(' | ').map((c) => c.replace(' |', '')),
      cell,
    ).toContain(cell);
  expect(report.markdown).toContain('patterns, not values');
});

test('short rows are marked, missing runs are named with the reason', () => {
  expect(report.markdown).toMatch(/\| 9, not trained to the end \|/);
  expect(report.markdown).toMatch(/Not trained to the end, and in no finding: `ia3 T\/T\/P`/);
  expect(report.markdown).toContain('`ptv2-n10-ttp-s1`: cut: the budget did not reach');
  expect(studyJson().missing).toEqual([{ row: 'ptv2-n10-ttp', seed: 1 }]);
});

test('differences within the interval are ties, in words', () => {
  const said = report.markdown.split('## What the numbers say')[1]!.split('## ')[0]!;
  expect(said).toMatch(/Best row: `lora-r8 T\/T\/P`/);
  expect(said).toMatch(/Ties with it[^\n]*`prefix-n10 T\/T\/P`/);
  expect(said).toMatch(/Worse than it[^\n]*`lora-r8 F\/P\/P`/);
  expect(said).toMatch(/Ties with the base[^\n]*`lora-r8 F\/P\/P`/);
  expect(said).toMatch(/above always giving the more frequent answer \(53\.0%\)/);
});

test('the page is whole: no file, script or font from elsewhere, every figure inside with a name', () => {
  // matches, not the page: a failure must not print it
  expect(report.html.match(/<(script|link|img|iframe)|url\((?!#)|@import/g)).toBeNull();
  expect(report.html.replaceAll(/xmlns(:xlink)?="[^"]*"/g, '').match(/https?:.{9}/g)).toBeNull();
  expect(report.html.match(/<svg role="img" aria-label="[^"]+"/g)).toHaveLength(4);
  for (const text of [report.html, report.markdown])
    expect(text.match(/.{30}(undefined|NaN|\[object)/g)).toBeNull();
  expect(report.html.includes('Research use only.')).toBe(true);
  for (const name of ['accuracy-by-format', 'accuracy-by-parameters', 'loss-curves', 'agreement'])
    expect(readFileSync(join(out, 'figures', `${name}.svg`), 'utf8')).toMatch(/^<svg/);
  // Markdown tables have as many cells in every line
  for (const table of report.markdown.match(/(^\|.*\n)+/gm)!)
    expect(
      new Set(
        table
          .trim()
          .split('\n')
          .map((l) => l.replaceAll('\\|', '').split('|').length),
      ).size,
    ).toBe(1);
});

test('CSV files are read back by another parser, with an answer for every run and question', () => {
  const read = (name: string) =>
    Papa.parse<Record<string, string>>(readFileSync(join(out, 'csv', `${name}.csv`), 'utf8'), {
      header: true,
      skipEmptyLines: true,
    });
  const answers = read('answers');
  expect(answers.errors).toEqual([]);
  expect(answers.data).toHaveLength(testQuestions.length);
  const right = answers.data.filter((line) => line['lora-r8-ttp-s1'] === line.reference).length;
  expect((100 * right) / testQuestions.length).toBeCloseTo(
    counted('lora-r8-ttp', 1, () => true),
    6,
  );
  expect(read('runs').data).toHaveLength(1 + 2 * (ids.length - 1) - 1);
  expect(read('losses').data.filter(({ run }) => run === 'full-s0')).toHaveLength(12);
});

test('what is not finished is said to be open, and seeds that rows do not share', async () => {
  const own = fabricate(rows('base', 'lora-r8-ttp', 'lora-r8-fpp', 'ia3-ttp', 'full'), [0, 1], (run) => {
    const seeds = { 'lora-r8-ttp': [0, 1], 'lora-r8-fpp': [0], 'ia3-ttp': [], full: [0] }[run.row.id] ?? [0];
    return seeds.includes(run.seed) ? looks(run) : undefined;
  });
  await writeStudyReport({ out: own });
  const text = readFileSync(join(own, 'report.md'), 'utf8');
  expect(text).toContain(
    '4 runs are not finished: 1 row is in no table yet and may be the best; 2 rows have fewer seeds than planned.',
  );
  expect(text).toContain('1 to 2 seeds a row: the spread');
  expect(text).not.toContain('have no seed in common');
  // of another seed than the best row: no difference of theirs is a paired one
  const best = rows('lora-r8-ttp', 'lora-r8-fpp');
  const apart = fabricate(best, [0, 1], (run) =>
    run.seed === best.findIndex(({ id }) => id === run.row.id) ? looks(run) : undefined,
  );
  await writeStudyReport({ out: apart });
  const said = readFileSync(join(apart, 'report.md'), 'utf8');
  expect(said).toContain('no seed in common with it: `lora-r8 F/P/P`.');
  for (const page of [text, said]) expect(page.match(/.{30}(undefined|NaN|\[object)/g)).toBeNull();
});

describe('findings', () => {
  const judge = (change: Partial<typeof shares>, epochs = 12) => {
    const all = { ...shares, ...change } as typeof shares;
    const folder = fabricate(rows(...Object.keys(all)), [0], ({ row, seed }) => ({
      answer: answering(...(all[row.id] as [number, number]), `seed ${seed}`),
      epochs,
    }));
    return findings(collect({ out: folder, split: 'official' }, runsOf(readSettings(folder))).rows).map(
      ({ verdict }) => verdict,
    );
  };
  const [frozen, methods, tiny, instruct, second] = [0, 1, 2, 3, 4] as const;

  test('confirmed where the numbers are as in the paper', () => {
    const found = judge({ 'lora-r8-tpp': [0.3, 0.68], 'full-then-instruct': [0.4, 0.72] });
    expect(found).toEqual(['confirms', 'confirms', 'confirms', 'confirms', 'confirms']);
  });

  test('contradicted where they are the other way round', () => {
    const found = judge({
      'lora-r8-tpp': [0.02, 0.3],
      'ia3-ttp': [0.5, 0.9],
      'ptv2-n10-ttp': [0.5, 0.9],
      'lora-r8-fpp': [0.5, 0.9],
      'lora-r8-ttp-instruct': [0.5, 0.9],
      'full-then-instruct': [0.1, 0.4],
    });
    expect(found).toEqual(Array(5).fill('contradicts'));
  });

  test('on the whole grid each rests on the rows that its rule names', () => {
    const one = collect({ out, split: 'official' }, runsOf(readSettings(out))).rows[1]!;
    const found = findings(grid.map((row) => ({ row, runs: one.runs.map((run) => ({ ...run, row })) })));
    const counts = found.map(({ rows: of }) => [of.length, new Set(of).size]);
    // 8 pairs F and T; 2 + 2 methods; 7 rows of adapters against 5 at T/T/P, some twice; 23 pairs and full; 1 pair
    expect(counts).toEqual([
      [16, 16],
      [4, 4],
      [14, 12],
      [48, 48],
      [2, 2],
    ]);
  });

  test('in a grid of which Tables 1 to 4 are finished, say which rows are missing', () => {
    const one = collect({ out, split: 'official' }, runsOf(readSettings(out))).rows[1]!;
    const finished = (keep: (row: Row) => boolean) =>
      grid.filter(keep).map((row) => ({ row, runs: one.runs.map((run) => ({ ...run, row })) }));
    const half = finished(({ tables }) => tables.every((t) => t <= 4));
    const reasons = (planned?: readonly Row[]) => findings(half, planned).map(({ reason }) => reason);
    const whole = reasons(grid);
    expect(whole[frozen]).toMatch(/^\+0\.0 points \[.*\], 8 against 8 rows$/);
    expect(whole[instruct]).toMatch(/^rows missing: full, full-instruct, [^,]*, [^,]* and 21 more$/);
    expect(whole[second]).toBe('rows missing: full-then-instruct, full');
    const asked = reasons(half.map(({ row }) => row));
    for (const n of [instruct, second])
      expect(asked[n]).toBe('rows missing: this study was not asked for those it needs');
    // one pair is missing
    const some = half.filter(({ row }) => row.id !== 'ia3-fpp');
    const { reason, verdict } = findings(some, grid)[frozen]!;
    expect(verdict).toBe('cannot decide');
    expect(reason).toMatch(/^so far \+0\.0 points .*, 7 against 7 rows; rows missing: ia3-fpp$/);
  });

  test('open where nothing differs, rows are missing, or none was trained for ten epochs', () => {
    const same = Object.fromEntries(Object.keys(shares).map((id) => [id, [0.2, 0.6] as [number, number]]));
    expect(judge({ ...same, 'lora-r8-tpp': [0.2, 0.6] })).toEqual(Array(5).fill('cannot decide'));
    expect(judge({})[frozen]).toBe('cannot decide'); // no partner of F/P/P
    const short = judge({ 'lora-r8-tpp': [0.3, 0.68] }, 9);
    for (const n of [frozen, methods, tiny, instruct, second]) expect(short[n]).toBe('cannot decide');
  });
});

test('comparing and agreeing', () => {
  const { rows: collected } = collect({ out, split: 'official' }, runsOf(readSettings(out)));
  const of = (id: string) => collected.find(({ row }) => row.id === id)!;
  const [best, base] = [of('lora-r8-ttp'), of('base')];
  const found = compareRows(best, base)!;
  const swapped = compareRows(base, best)!;
  expect(found.tie).toBe(false);
  expect(swapped.difference.mean).toBeCloseTo(-found.difference.mean, 12);
  expect(swapped.difference.low).toBeCloseTo(-found.difference.high, 12);
  expect(found.p).toHaveLength(2);
  expect(Math.max(...found.p)).toBeLessThan(0.001);
  // prefix differs from LoRA by one percent of the yes/no questions
  expect(agreement(best, of('prefix-n10-ttp'))).toBeGreaterThan(0.97);
  expect(agreement(best, of('base'))).toBe(agreement(of('base'), best));
  expect(agreement(best, best)).toBeLessThan(0.8); // seeds draw anew
  expect(agreement(base, base)).toBeUndefined();
});

test('the front has no row that another beats with fewer parameters', () => {
  const points = [
    { trainable: 1, percent: 10 },
    { trainable: 2, percent: 9 },
    { trainable: 2, percent: 30 },
    { trainable: 5, percent: 30 },
    { trainable: 9, percent: 31 },
  ];
  expect(paretoFront(points)).toEqual([points[0], points[2], points[4]]);
});

test('time of runs: the same row’s, else its placement’s, else scaled', () => {
  const [a, b, c] = rows('lora-r8-ttp', 'ia3-ttp', 'lora-r8-fpp') as [Row, Row, Row];
  const run = (row: Row, seed = 0): StudyRun => ({ row, seed });
  expect(expectedSeconds(run(a), [])).toBeUndefined();
  expect(expectedTotal([run(a)], [])).toBeUndefined();
  const measured = [{ run: run(a), seconds: 200 }];
  expect(expectedSeconds(run(a, 1), measured)).toBeCloseTo(200, 9);
  expect(expectedSeconds(run(b), measured)).toBeCloseTo(200, 9);
  expect(expectedSeconds(run(c), measured)).toBeLessThan(120);
  expect(expectedTotal([run(a, 1), run(b)], measured)).toBeCloseTo(400, 9);
});

describe('folders that do not fit', () => {
  test('a run scored on other questions, and one whose predictions are damaged, are named and left out', async () => {
    const own = fabricate(rows('base', 'lora-r8-ttp', 'full'), [0], looks);
    const file = join(
      runFolder({ out: own }, { row: rows('full')[0]!, seed: 0 }),
      'eval',
      'official-test-auto.predictions.jsonl',
    );
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    writeFileSync(file, `${lines.slice(1).join('\n')}\n`);
    const settings = () => runsOf(readSettings(own));
    expect(collect({ out: own, split: 'official' }, settings()).broken).toMatchObject([
      { id: 'full-s0', reason: /other questions than base/ },
    ]);
    writeFileSync(file, 'not JSON\n');
    expect(collect({ out: own, split: 'official' }, settings()).broken[0]!.reason).toMatch(
      /not a prediction\n.*predictions\.jsonl:1\n/,
    );
    await writeStudyReport({ out: own });
    expect(readFileSync(join(own, 'report.md'), 'utf8')).toContain('`full-s0`: cannot be read');
  });

  test('no study, no finished run, another study’s settings', () => {
    const own = fabricate(rows('lora-r8-ttp'), [0], () => undefined);
    expect(() => collect({ out: own, split: 'official' }, runsOf(readSettings(own)))).toThrow(
      /^no run is finished\n/,
    );
    expect(() => readSettings(join(own, 'none'))).toThrow(/no study lies here/);
    const join_ =
      (change: object, of = rows('lora-r8-ttp')) =>
      () =>
        joinSettings({ ...context, out: own, ...change }, of, [0, 1]);
    expect(join_({ split: 'image' })).toThrow(/made with --split official, now image/);
    expect(join_({ limit: 8 })).toThrow(/made with --limit null, now 8/);
    const other = paperGrid([1], { preset: 'miss-tiny', epochs: 3 });
    expect(join_({}, other)).toThrow(/row lora-r8-ttp was made with --epochs 12, now 3\n/);
    // more rows and seeds are welcome
    const more = join_({}, rows('lora-r8-ttp', 'full'))();
    expect(more.rows.map(({ id, seeds }) => [id, seeds])).toEqual([
      ['lora-r8-ttp', [0, 1]],
      ['full', [0, 1]],
    ]);
    writeFileSync(join(own, 'grid.json'), '{"format": "other"}');
    expect(() => readSettings(own)).toThrow(/damaged or of another version/);
  });

  test('a run that is not trained to its end is not finished, though it was scored', () => {
    const run = { row: rows('full')[0]!, seed: 0 };
    const own = fabricate([run.row], [0], () => undefined);
    writeRun(own, run, { ...looks(run), finished: false });
    expect(isFinished({ out: own, split: 'official' }, run)).toBe(false);
    writeRun(own, run, looks(run));
    expect(isFinished({ out: own, split: 'official' }, run)).toBe(true);
    rmSync(join(runFolder({ out: own }, run), 'eval'), { recursive: true });
    expect(isFinished({ out: own, split: 'official' }, run)).toBe(false);
  });
});
