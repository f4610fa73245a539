/** @file Adapters through the programs: `ort-answer --adapter` and `ort-weights export-adapter`. */
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readAdapterFolder } from '../../../../training-artifacts/adapters/peft-folder.js';
import {
  initialTensors,
  type TrainedTensor,
  writeCheckpoint,
} from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { expectMessage, runProgram, temporaryFolder, tinyBuild, writeDeepGrey } from '../runs.js';

const folder = temporaryFolder();
const image = join(folder, 'scan.png');
const ask = ['--image', image, '--question', 'Is there a pleural effusion?'];
const progress = { best: null, sinceBest: 0, evaluated: -1 };
const state = { step: 1, batches: 1, lossScale: 1, ...progress, options: {}, environment: {} };

/** A run whose adapter is away from where it started. */
function trainedRun(name: string, variant: string, placement: string): string {
  const run = join(folder, name);
  const manifest = emitVariant({ ...tinyBuild, variant, placement }, run);
  const moved = [...initialTensors(run, manifest)].map(([key, t]): [string, TrainedTensor] => [
    key,
    { ...t, value: t.value.map((v, i) => v + Math.sin(i + key.length)) },
  ]);
  writeCheckpoint(run, 'last', new Map(moved), state);
  return run;
}

interface Answered {
  adapter: string;
  answer: string;
  probability: number;
  newSessions: number;
}

async function stdoutOf(bin: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(bin, args, folder);
  expect(code, stderr).toBe(0);
  return stdout;
}

let [text, other, prefix] = ['', '', ''];
beforeAll(async () => {
  text = trainedRun('text', 'lora-r2', 'F/P/P');
  other = trainedRun('other', 'lora-r3', 'F/P/P');
  prefix = trainedRun('prefix', 'prefix-n4', 'F/P/P');
  await writeDeepGrey(image);
  await Promise.all([text, other, prefix].map((run) => stdoutOf('ort-weights', 'export-adapter', run)));
});

describe('ort-answer', () => {
  test('adapters side by side answer as their runs do', async () => {
    const runs = [text, other, prefix];
    const own = await Promise.all(
      runs.map(
        async (run) => JSON.parse(await stdoutOf('ort-answer', '--run', run, ...ask, '--json')) as Answered,
      ),
    );
    const flags = runs.flatMap((run) => ['--adapter', join(run, 'adapter')]);
    const json = await stdoutOf('ort-answer', '--run', text, ...flags, ...ask, '--json');
    const found = JSON.parse(json) as Answered[];
    // the random base of each run has the same seed: one base
    expect(found.map((a) => a.adapter)).toEqual(['text', 'other', 'prefix']);
    expect(found.map((a) => a.answer)).toEqual(own.map((a) => a.answer));
    found.forEach((a, i) => {
      expect(a.probability).toBeCloseTo(own[i]!.probability, 6);
    });
    expect(found.map((a) => a.newSessions)).toEqual([3, 0, 2]);
    const table = await stdoutOf('ort-answer', '--run', text, '--adapter', text, '--adapter', other, ...ask);
    expect(table).toMatch(/^adapter +answer +%\ntext .*\nother .*\n\nResearch use only/);
    expect(table).toContain((100 * own[1]!.probability).toFixed(1));
  });

  test('one adapter on a preset’s base, without a run', async () => {
    const tiny = join(folder, 'tiny');
    emitVariant({ preset: 'miss-tiny', variant: 'ia3', placement: 'F/P/P' }, tiny);
    await stdoutOf('ort-weights', 'export-adapter', tiny, '--checkpoint', 'base');
    const out = await stdoutOf('ort-answer', '--preset', 'miss-tiny', '--adapter', tiny, ...ask);
    expect(out).toMatch(/^.*\(probability [\d.]+%, adapter tiny\)\n\nbeam +%\n/);
  });

  test('what does not fit is said in one message', async () => {
    const cases: [string[], RegExp][] = [
      [
        ['--preset', 'miss-tiny', '--adapter', text],
        /^text_.* is \[2,32\], it must be \[2,128\] to go with the base's .*\[128,128\]\n.*text\/adapter\n/,
      ],
      [['--run', text, '--adapter', join(folder, 'nothing')], /^no adapter here\n/],
      [['--run', text, '--adapter', text, '--checkpoint', 'best'], /^--checkpoint is of a run/],
      [['--run', text, '--adapter', text, '--mode', 'rank'], /^--mode rank is of a run/],
      [['--run', text, '--adapter', text, '--explain', 'heat.png'], /^--explain is of a run/],
      [['--run', text, '--adapter', text, '--preset', 'miss-tiny'], /^--run and --preset both name a base/],
      [['--adapter', text, '--weights', 'w.safetensors'], /^--weights needs --preset/],
      [['--preset', 'miss-tiny'], /^--preset needs --adapter/],
    ];
    await Promise.all(
      cases.map(([flags, message]) => expectMessage('ort-answer', [...flags, ...ask], message)),
    );
  });
});

describe('ort-weights export-adapter', () => {
  test('a PEFT folder of the checkpoint that is named', async () => {
    const out = join(folder, 'peft');
    await stdoutOf('ort-weights', 'export-adapter', text, '--out', out, '--checkpoint', 'base');
    expect(readdirSync(out).sort()).toEqual(['text_decoder', 'text_encoder']);
    const [initial, moved] = [readAdapterFolder(out), readAdapterFolder(join(text, 'adapter'))];
    expect([...initial.tensors.keys()].sort()).toEqual([...moved.tensors.keys()].sort());
    const b = (tensors: typeof moved.tensors) => [...tensors].filter(([name]) => name.includes('lora_B'));
    expect(b(initial.tensors).every(([, { data }]) => data.every((v) => v === 0))).toBe(true);
    expect(b(moved.tensors).every(([, { data }]) => data.some((v) => v !== 0))).toBe(true);
  });

  test.each(['float16', 'int8'])(
    'merged in %s, with what that costs on the test questions',
    async (precision) => {
      const flags = ['--merge', '--precision', precision, '--limit', '12', '--threads', '1'];
      const json = await stdoutOf('ort-weights', 'export-adapter', text, ...flags, '--json');
      const { folder: merged, comparison } = JSON.parse(json);
      expect(merged).toMatch(new RegExp(`text-merged-${precision}$`));
      expect(comparison.difference).toMatchObject({ n: 12 });
      // the same figures from the predictions that both runs have on disk
      const predictions = (run: string) =>
        readFileSync(join(folder, run, 'eval', 'official-test-first12-auto.predictions.jsonl'), 'utf8')
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as { prediction: string; correct: boolean });
      const [before, after] = [predictions('text'), predictions(`text-merged-${precision}`)];
      const right = (rows: typeof before) => rows.filter((row) => row.correct).length / rows.length;
      expect(comparison.difference.difference).toBeCloseTo(right(after) - right(before), 12);
      expect(comparison.changed).toBe(
        before.filter((row, i) => row.prediction !== after[i]!.prediction).length,
      );
    },
  );

  test('merged without scores', async () => {
    const out = join(folder, 'single');
    const said = await stdoutOf('ort-weights', 'export-adapter', text, '--merge', '--no-score', '--out', out);
    expect(said).toMatch(
      /single: .* folded into model\.safetensors, float32, \d+\.\d MB\n\nnext: ort-answer/,
    );
    expect(existsSync(join(out, 'eval'))).toBe(false);
  });

  test('.onnx_adapter files beside their graphs', async () => {
    const said = await stdoutOf('ort-weights', 'export-adapter', text, '--format', 'onnx-adapter');
    expect(said).toMatch(/image_encoder\.onnx +-\nquestion_encoder\.onnx +question_encoder\.onnx_adapter\n/);
    expect(readdirSync(join(text, 'onnx-adapter'))).toContain('answer_decoder.onnx_adapter');
  });

  test('what cannot be done is said in one message, and nothing is written', async () => {
    const untrained = join(folder, 'untrained');
    cpSync(text, untrained, { recursive: true, filter: (path) => !/checkpoint|eval|adapter/.test(path) });
    const cases: [string[], RegExp][] = [
      [[untrained], /^the run is not trained yet\n.*\n.*ort-train --run .*untrained/],
      [[text, '--precision', 'float16'], /^--precision needs --merge/],
      [[text, '--merge', '--format', 'peft'], /^--merge leaves no adapter to write/],
      [[prefix, '--merge'], /^prefix cannot be merged/],
      [[prefix, '--format', 'onnx-adapter'], /^prefix cannot be an \.onnx_adapter/],
      [[join(folder, 'nothing')], /^not a run folder/],
      [[text, '--checkpoint', 'step-000009'], /step-000009/],
    ];
    const before = readdirSync(folder);
    await Promise.all(
      cases.map(([flags, message]) => expectMessage('ort-weights', ['export-adapter', ...flags], message)),
    );
    expect(readdirSync(folder)).toEqual(before);
  });
});
