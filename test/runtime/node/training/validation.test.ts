/** @file When a run is validated, which checkpoint is the best, when it ends early: alone, interrupted and resumed. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { TrainOptions } from '../../../../runtime/node/training/options.js';
import { trainDefaults } from '../../../../runtime/node/training/options.js';
import { checkValidation, isEvaluationDue, judge } from '../../../../runtime/node/training/validation.js';
import { listCheckpoints } from '../../../../training-artifacts/checkpoint/checkpoint-files.js';
import { metricsOf } from '../runs.js';
import { build, copyOf, expectSameTraining, stateOf, train } from './support.js';

const options = (changed: Partial<TrainOptions>): TrainOptions => ({ ...trainDefaults, ...changed });

test.each<[string, Partial<TrainOptions>, number[]]>([
  ['every epoch', { evalEvery: 1 }, [0, 4, 8, 12]],
  ['every second epoch and the last', { evalEvery: 2 }, [0, 8, 12]],
  ['every fifth step and the last', { evalEvery: 0, evalEverySteps: 5 }, [0, 5, 10, 12]],
  ['both', { evalEvery: 2, evalEverySteps: 3 }, [0, 3, 6, 8, 9, 12]],
  ['never', { evalEvery: 0 }, []],
])('validates %s', (_, changed, expected) => {
  const steps = [...Array(13).keys()]; // 3 epochs of 4 steps
  expect(steps.filter((step) => isEvaluationDue(step, options(changed), 4, 12))).toEqual(expected);
});

describe('the best', () => {
  const state = { step: 0, lossScale: 1, options: {}, environment: {} };
  const scores = (accuracy: number, loss: number) => ({ n: 1, accuracy, yesNo: 0, notYesNo: 0, loss });
  const run = (by: 'accuracy' | 'loss', values: readonly [number, number][]) => {
    let now = { ...state, batches: 0, best: null, sinceBest: 0, evaluated: -1 } as Parameters<
      typeof judge
    >[0];
    return values.map(([accuracy, loss], i) => {
      now = { ...now, batches: 10 * i };
      now = { ...now, ...judge(now, scores(accuracy, loss), by) };
      return [now.best?.step ?? null, now.sinceBest];
    });
  };
  const values: [number, number][] = [
    [0.9, 0.1], // the base's, before training
    [0.2, 3],
    [0.4, 3],
    [0.4, 2],
    [0.3, 4],
  ];

  test('is the first with the highest accuracy', () => {
    expect(run('accuracy', values)).toEqual([
      [null, 0],
      [10, 0],
      [20, 0],
      [20, 1],
      [20, 2],
    ]);
  });

  test('or the first with the lowest loss', () => {
    expect(run('loss', values)).toEqual([
      [null, 0],
      [10, 0],
      [10, 1],
      [30, 0],
      [30, 1],
    ]);
  });
});

test.each<[string, readonly ('accuracy' | 'loss')[], Partial<TrainOptions>, RegExp]>([
  ['no loss', ['accuracy'], { bestBy: 'loss' }, /measures no loss\n.*--best-by\n.*choose from accuracy/],
  ['nothing to measure', [], { bestBy: 'loss' }, /measures no loss\n.*--best-by\n.*leave it out/],
  ['nothing to stop by', [], { earlyStopping: 1 }, /nothing to validate on\n.*--early-stopping\n/],
  ['nothing to evaluate', [], { evalEverySteps: 1 }, /nothing to validate on\n.*--eval-every-steps\n/],
  [
    'no evaluation',
    ['accuracy'],
    { earlyStopping: 1, evalEvery: 0 },
    /^nothing is evaluated\n.*--early-stopping\n.*--eval-every-steps/,
  ],
])('%s is an error that names the flag', (_, measured, changed, message) => {
  expect(() => checkValidation(measured, options(changed))).toThrow(message);
});

test.each<[readonly ('accuracy' | 'loss')[], Partial<TrainOptions>]>([
  [[], {}], // an imported model with default options
  [['accuracy', 'loss'], { bestBy: 'loss', earlyStopping: 2 }],
])('%j allows %j', (measured, changed) => {
  expect(() => checkValidation(measured, options(changed))).not.toThrow();
});

describe('a run that validates every second step and stops early', () => {
  const changed = { evalEvery: 0, evalEverySteps: 2, earlyStopping: 1, limit: 24, epochs: 4, keep: 1 };
  const evaluationsOf = (run: string) => metricsOf(run).filter((m) => m.type === 'evaluation');
  let built = '';
  let whole = '';
  beforeAll(async () => {
    built = build();
    whole = copyOf(built);
    const events = await train(whole, { options: changed });
    // random weights answer nothing right: the first validation stays the best
    expect(events.at(-1)).toEqual({ type: 'end', step: 4, stopped: false, early: true });
  });

  test('logs the validations, keeps the best and ends after one that is no better', () => {
    expect(evaluationsOf(whole).map(({ step, epoch }) => [step, epoch])).toEqual([
      [0, 0],
      [2, 2 / 3],
      [4, 4 / 3],
    ]);
    const best = { step: 2, score: 0 };
    expect(stateOf(whole).counts).toMatchObject({ batches: 4, best, sinceBest: 1, evaluated: 4 });
    expect(stateOf(whole, 'best').counts).toMatchObject({ batches: 2, best, sinceBest: 0, evaluated: 2 });
    expect(listCheckpoints(whole)).toEqual(['best', 'last', 'step-000004']);
  });

  test('resumed after its end, it ends again at once', async () => {
    const run = copyOf(whole);
    const events = await train(run, { resume: true });
    expect(events.at(-1)).toEqual({ type: 'end', step: 4, stopped: false, early: true });
    expectSameTraining(run, whole);
  });

  test('interrupted at a validation: it is left to the resumed run, which decides the same', async () => {
    const run = copyOf(built);
    const first = await train(run, { options: changed, interruptAt: 2 });
    expect(first.at(-1)).toEqual({ type: 'end', step: 2, stopped: true, early: false });
    expect(evaluationsOf(run)).toHaveLength(1);
    await train(run, { resume: true, interruptAt: 4 }); // makes up for it, and leaves out the last
    expect(evaluationsOf(run)).toHaveLength(2);
    expect(stateOf(run).counts).toMatchObject({ batches: 4, evaluated: 2 });
    expect((await train(run, { resume: true })).at(-1)).toMatchObject({ stopped: false, early: true });
    expectSameTraining(run, whole);
  });
});
