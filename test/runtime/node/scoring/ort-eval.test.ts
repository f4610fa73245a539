/** @file Calibration, comparison, rank mode, files of predictions and the report, as users start them. */
import { copyFileSync, cpSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { mcnemar } from '../../../../datasets/scoring/compare.js';
import { loadSplit } from '../../../../datasets/split-file.js';
import { loadVqaRad } from '../../../../datasets/vqa-rad.js';
import { checkFlags, rankOptions } from '../../../../runtime/node/cli/eval/flags.js';
import { NOTICE } from '../../../../runtime/node/cli/main.js';
import type { EvalFlags } from '../../../../runtime/node/cli/ort-eval.js';
import type { Evaluation } from '../../../../runtime/node/evaluate.js';
import type { ComparedRuns } from '../../../../runtime/node/scoring/compare-runs.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { copyOf, expectMessage, runProgram, temporaryFolder, tinyBuild, writeDeepGrey } from '../runs.js';

const folder = temporaryFolder();
const run = join(folder, 'trained');
const predictions = join(run, 'eval', 'official-test-first40-auto.predictions.jsonl');
let evaluation: Evaluation & { report: string };

async function ok<T>(bin: string, args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await runProgram(bin, [...args, '--json'], folder);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as T;
}

beforeAll(async () => {
  emitVariant(tinyBuild, run);
  const flags = ['--run', run, '--limit', '40', '--batch-size', '8', '--epochs', '2', '--lr', '3e-3'];
  const { code, stderr } = await runProgram('ort-train', [...flags, '--eval-every', '0'], folder);
  expect(code, stderr).toBe(0);
  evaluation = await ok('ort-eval', ['--run', run, '--limit', '40', '--calibrate', '--abstain-risk', '0.9']);
});

interface Line {
  qid: string;
  answer: string;
  prediction: string;
  probability: number;
  calibrated: number;
}
const linesOf = (path: string): Line[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

test('the calibration is fitted on validation questions and used on the test', () => {
  const calibration = JSON.parse(readFileSync(join(run, 'eval', 'calibration.json'), 'utf8'));
  const split = loadSplit(loadVqaRad(), 'official');
  expect(calibration).toMatchObject({ on: 'validation', n: 40, splitSha256: split.sha256 });
  expect(calibration.after.loss).toBeLessThanOrEqual(calibration.before.loss + 1e-6);
  expect(evaluation.fingerprint).toBe(calibration.fingerprint);
  const lines = linesOf(predictions);
  expect(lines.map((l) => l.qid)).toEqual(split.test.slice(0, 40));
  // raising T evens out: with T > 1 probabilities fall, with T < 1 they rise, and the order stays nearly the same
  for (const { probability, calibrated } of lines) {
    if (calibration.temperature > 1.01) expect(calibrated).toBeLessThan(probability);
    if (calibration.temperature < 0.99) expect(calibrated).toBeGreaterThan(probability);
  }
  const { threshold } = calibration.abstain;
  const answered = threshold === null ? 0 : lines.filter((l) => l.calibrated >= threshold).length;
  expect(evaluation.abstaining).toMatchObject({ answered, temperature: calibration.temperature });
  expect(Object.keys(evaluation.confidence!)).toEqual(['probability', 'calibrated']);
});

test('another checkpoint has no calibration; the first questions take the place of no whole evaluation', async () => {
  const own = copyOf(run);
  const whole = join(own, 'eval', 'official-test-base.json');
  writeFileSync(whole, 'whole');
  const base = await ok<Evaluation>('ort-eval', [
    ...['--run', own, '--limit', '3', '--checkpoint', 'base', '--no-report'],
    ...['--metrics', 'calibration'],
  ]);
  expect(base.abstaining).toBeUndefined();
  expect(Object.keys(base.confidence!)).toEqual(['probability']);
  expect(base.f1).toBeUndefined();
  expect(readFileSync(whole, 'utf8')).toBe('whole');
  expect(base.predictions).toBe(join(own, 'eval', 'official-test-first3-base.predictions.jsonl'));
  expect(existsSync(join(own, 'eval', 'official-test-first3-base.html'))).toBe(false);
});

test('the report needs no other file, names none, and has the errors with their images', () => {
  expect(evaluation.report).toBe(join(run, 'eval', 'official-test-first40-auto.html'));
  const html = readFileSync(evaluation.report, 'utf8');
  expect(html).toContain(NOTICE);
  expect(html).toContain(evaluation.splitSha256);
  expect(html.replaceAll(/xmlns(:\w+)?="[^"]+"/g, '')).not.toMatch(
    /https?:|src="(?!data:image\/jpeg;base64,)|synpic|<script/,
  );
  const wrong = linesOf(predictions).filter((l) => l.answer.toLowerCase() !== l.prediction);
  expect(html.match(/class="card"/g)).toHaveLength(Math.min(24, wrong.length));
  expect(html.match(/<svg/g)).toHaveLength(2);
});

test('two runs are compared on recorded predictions where they are of the same weights and questions', async () => {
  const other = copyOf(run);
  const args = (b: string) => ['--compare', run, b, '--limit', '40'];
  const same = await ok<ComparedRuns>('ort-eval', args(other));
  expect(same.recorded).toEqual({ a: true, b: true });
  expect(same.kinds.overall).toMatchObject({ n: 40, paired: { difference: 0 }, mcnemar: { p: 1 } });
  // the other's first four answers become right, two of A's right ones wrong
  const file = join(other, 'eval', 'official-test-first40-auto.predictions.jsonl');
  const changed = linesOf(file).map((l, i) => ({
    ...l,
    prediction: i < 4 ? l.answer : i > 37 ? '?' : l.prediction,
  }));
  writeFileSync(file, changed.map((l) => `${JSON.stringify(l)}\n`).join(''));
  const result = await ok<ComparedRuns>('ort-eval', args(other));
  const right = (l: Line) => l.prediction.toLowerCase() === l.answer.toLowerCase();
  const [a, b] = [linesOf(predictions).map(right), changed.map(right)];
  expect(result.kinds.overall.mcnemar).toEqual(mcnemar(a, b));
  expect(result.kinds.overall.paired.difference).toBeCloseTo(
    (a.filter(Boolean).length - b.filter(Boolean).length) / 40,
    12,
  );
  const flips = readFileSync(result.flipsFile, 'utf8')
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l));
  expect(flips.map((f) => f.qid)).toEqual(changed.filter((_, i) => a[i] !== b[i]).map((l) => l.qid));
  // what was recorded of all questions has these, too
  for (const extension of ['.json', '.predictions.jsonl']) {
    const name = join(other, 'eval', 'official-test-first40-auto');
    renameSync(`${name}${extension}`, `${name.replace('-first40', '')}${extension}`);
  }
  expect(await ok<ComparedRuns>('ort-eval', args(other))).toEqual(result);
  // what was recorded of other weights is not used
  const record = join(other, 'eval', 'official-test-auto.json');
  writeFileSync(record, readFileSync(record, 'utf8').replace(evaluation.fingerprint, 'x'));
  const anew = await ok<ComparedRuns>('ort-eval', args(other));
  expect(anew.recorded).toEqual({ a: true, b: false });
  expect(anew.kinds.overall.paired.difference).toBe(0);
});

/** Makes every import of ONNX Runtime an error in programs that are started from here. */
async function withoutRuntime<T>(work: () => Promise<T>): Promise<T> {
  const hook = join(folder, 'refuse.mjs');
  writeFileSync(
    hook,
    `import { register } from 'node:module';
register('data:text/javascript,' + encodeURIComponent(\`export async function resolve(name, context, next) {
  if (name.includes('onnxruntime')) throw new Error('loaded ' + name);
  return next(name, context);
}\`));`,
  );
  process.env.NODE_OPTIONS = `--import ${hook}`;
  try {
    return await work();
  } finally {
    delete process.env.NODE_OPTIONS;
  }
}

test('a file of predictions has the scores of the run that made it, without ONNX Runtime', async () => {
  const truth = join(folder, 'truth.json');
  const asked = new Set(linesOf(predictions).map((l) => l.qid));
  const questions = loadVqaRad().questions.filter((q) => asked.has(q.qid));
  const inOrder = linesOf(predictions).map((l) => questions.find((q) => q.qid === l.qid));
  writeFileSync(truth, JSON.stringify(inOrder));
  const args = ['--predictions', predictions, '--truth', truth, '--metrics', 'exact', 'f1', 'groups'];
  const scored = await withoutRuntime(() => ok<Evaluation>('ort-eval', args));
  expect(scored.scores).toEqual(evaluation.scores);
  expect(scored.f1).toEqual(evaluation.f1);
  expect(scored.groups).toEqual(evaluation.groups);
  const { stderr, code } = await withoutRuntime(() =>
    runProgram('ort-eval', ['--run', run, '--limit', '1'], folder),
  );
  expect([code, stderr.includes('loaded onnxruntime-node')]).toEqual([1, true]); // the hook would have told
});

test('files of predictions are compared as runs are', async () => {
  const [a, b] = [join(folder, 'a.jsonl'), join(folder, 'b.csv')];
  copyFileSync(predictions, a);
  const rows = linesOf(predictions).map((l) => `${l.qid},yes`);
  writeFileSync(b, `qid,prediction\n${rows.join('\n')}\n`);
  const result = await ok<ComparedRuns>('ort-eval', ['--compare', a, b]);
  const yes = linesOf(predictions).filter((l) => l.answer.toLowerCase() === 'yes').length;
  expect(result.kinds.overall.accuracyB).toBeCloseTo(yes / 40, 12);
  expect(existsSync(join(folder, 'a-against-b.flips.jsonl'))).toBe(true);
});

test('rank mode answers with candidates only', async () => {
  const candidates = join(folder, 'answers.txt');
  writeFileSync(candidates, 'Yes\nno\n\nyes\nright lung\nx-ray\n');
  const own = copyOf(run);
  const ranked = await ok<Evaluation>('ort-eval', [
    ...['--run', own, '--limit', '12', '--mode', 'rank', '--candidates', candidates, '--no-report'],
  ]);
  expect(ranked.candidates).toEqual({ source: candidates, n: 4 });
  const said = new Set(linesOf(ranked.predictions).map((l) => l.prediction));
  for (const answer of said) expect(['yes', 'no', 'right lung', 'x - ray']).toContain(answer);
  expect(ranked.predictions).toMatch(/-rank\.predictions\.jsonl$/);
  const image = join(folder, 'grey.png');
  await writeDeepGrey(image);
  const args = ['--run', own, '--image', image, '--question', 'which side?', '--mode', 'rank'];
  const one = await ok<{ beams: { answer: string }[]; calibrated?: number }>('ort-answer', [
    ...args,
    ...['--candidates', candidates],
  ]);
  expect(one.beams).toHaveLength(3);
  expect(one.calibrated).toBeUndefined();
  const train = await ok<{ answer: string }>('ort-answer', [...args, '--candidates', 'train']);
  const answers = loadVqaRad().questions.map((q) => q.answer.toLowerCase().replaceAll(/\W/g, ''));
  expect(answers).toContain(train.answer.replaceAll(/\W/g, ''));
});

const defaults = { mode: 'generate', topK: 128, abstainRisk: 0.2, calibrate: false } as const;
test.each([
  [{ mode: 'rank' }, /rank mode needs answers to choose from/],
  [{ candidates: 'train' }, /candidates are for rank mode/],
  [{ mode: 'rank', candidates: 'train', topK: 0 }, /0 is not a whole number/],
  [{ compare: ['a'] }, /1 to compare/],
  [{ compare: ['a', 'b'], predictions: 'a.jsonl' }, /two things to do/],
  [{ predictions: 'a.jsonl' }, /predictions without reference answers/],
  [{ truth: 'vqa-rad' }, /reference answers without predictions/],
  [{ flips: 'f' }, /nothing is compared/],
  [{ abstainRisk: 2 }, /a risk of 2/],
  [{ mode: 'rank', calibrate: true }, /only answers that are written are calibrated/],
] as const)('ort-eval refuses %j', (given, message) => {
  const flags = { ...defaults, ...given } as unknown as EvalFlags;
  const check = () => {
    checkFlags(flags);
    rankOptions(flags);
  };
  expect(check).toThrow(message);
});

test('a damaged calibration is said to be so, and a run is not a file', async () => {
  const own = copyOf(run);
  writeFileSync(join(own, 'eval', 'calibration.json'), '{}');
  const outside = temporaryFolder();
  cpSync(own, join(outside, 'run'), { recursive: true });
  await expectMessage('ort-eval', ['--run', 'run', '--limit', '1'], /not a calibration/, outside);
  await expectMessage(
    'ort-eval',
    ['--compare', 'run', 'none.jsonl'],
    /one is a run and the other is not/,
    outside,
  );
});
