/** @file `npm start`: the whole way once, on real data. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Argv } from 'yargs';
import type { Question } from '../../../datasets/dataset.js';
import { mcnemar, pairedDifference } from '../../../datasets/scoring/compare.js';
import { isSameAnswer, isYesNo } from '../../../datasets/scoring/normalise-answer.js';
import { UserError } from '../../../graph-builder/errors.js';
import type { Evaluation } from '../evaluate.js';
import { defineCommand, formatTable, NOTICE } from './main.js';

/**
 * What the demo trains. F/P/P and T/T/P are the paper's cheapest and best rows of LoRA; 49,152 numbers take a
 * larger learning rate than 5.7 million.
 */
const tuned = [
  { placement: 'F/P/P', variant: 'lora-r8', lr: 2e-3 },
  { placement: 'T/T/P', variant: 'lora-r8', lr: 5e-4 },
] as const;
/** As many steps with every parameter trained. */
const control = { placement: 'T/T/T', variant: 'full', lr: 5e-4 } as const;
/** As the base was trained: at this width dropout slows learning more than it helps. */
const MODULE_DROPOUT = 0;

interface Scored {
  readonly name: string;
  readonly run: string;
  readonly evaluation: Evaluation;
  readonly questions: readonly Question[];
  readonly correct: readonly boolean[];
  /** seconds of training */
  readonly seconds: number;
  readonly trainable: number;
}

const options = (y: Argv) =>
  y
    .option('epochs', { type: 'number', default: 10, describe: 'epochs of each tuning' })
    .option('out', {
      type: 'string',
      default: 'runs',
      describe: 'parent of the run folders; runs of the same names are replaced',
    })
    .option('control', {
      type: 'boolean',
      default: false,
      describe: 'also train all parameters for as many steps',
    })
    .option('seed', { type: 'number', default: 0, describe: 'data order, dropout, adapters' })
    .option('json', { type: 'boolean', default: false, describe: 'print the results as JSON' })
    .example('npm start', 'about 5 minutes on 2 cores')
    .example('npm start -- --control', 'with full fine-tuning beside it');

const say = (text: string) => process.stderr.write(`${text}\n`);

const onYesNo = ({ questions, correct }: Scored): boolean[] =>
  correct.filter((_, i) => isYesNo(questions[i]!.answer));

const signed = (share: number): string => `${share >= 0 ? '+' : ''}${(100 * share).toFixed(1)}`;

/** How a tuned model compares on yes/no questions: with always giving the majority's answer, and with the base. */
function comparisons(scored: Scored, base: Scored) {
  const own = onYesNo(scored);
  const majority = scored.questions
    .filter((q) => isYesNo(q.answer))
    .map((q) => isSameAnswer(q.answer, scored.evaluation.majority.answer));
  return {
    toMajority: pairedDifference(own, majority),
    toBase: pairedDifference(own, onYesNo(base)),
    mcnemar: mcnemar(own, onYesNo(base)),
  };
}

function resultTable(all: readonly Scored[], base: Scored): string {
  const percent = (n: number) => (100 * n).toFixed(1);
  const rows = all.map((s) => {
    const { yesNo, notYesNo, overall } = s.evaluation.scores;
    const { toMajority, mcnemar: test } = comparisons(s, base);
    return [
      s.name,
      s.trainable > 0 ? `${(s.trainable / 1e6).toFixed(2)} M` : '-',
      s.seconds > 0 ? s.seconds.toFixed(0) : '-',
      `${percent(yesNo.accuracy)} [${percent(yesNo.low)}, ${percent(yesNo.high)}]`,
      `${signed(toMajority.difference)} [${signed(toMajority.low)}, ${signed(toMajority.high)}]`,
      percent(notYesNo.accuracy),
      percent(overall.accuracy),
      s === base ? '-' : test.p.toFixed(3),
    ];
  });
  const { majority } = base.evaluation;
  const always = [
    `always '${majority.answer}'`,
    '-',
    '-',
    percent(majority.yesNo.accuracy),
    '0',
    '-',
    '-',
    '-',
  ];
  return formatTable([
    ['model', 'trained', 's', 'yes/no % [95%]', 'over majority [95%]', 'others %', 'all %', 'p to base'],
    always,
    ...rows,
  ]);
}

/** A yes/no question, one that names something, and one more, from different images of the test questions. */
function exampleQuestions(questions: readonly Question[]): Question[] {
  const pick = (type: string) => questions.find((q) => q.questionType === type);
  return [pick('PRES'), pick('MODALITY'), pick('PLANE')].filter((q) => q !== undefined);
}

/** `npm start`: build, train, evaluate, answer. */
export const demo = defineCommand({
  describe: 'Build, train, evaluate and answer: LoRA on VQA-RAD with the base weights that ship',
  options,
  handler: async ({ epochs, out, seed, json, control: withControl }) => {
    const { emitVariant } = await import('../../../training-artifacts/graphs/emit.js');
    const { evaluateRun } = await import('../evaluate.js');
    const { runPath } = await import('../runs.js');
    const { trainRun } = await import('../training/run.js');
    const { trainDefaults } = await import('../training/options.js');
    const { readMetrics } = await import('../training/finish.js');
    const { writeCurves } = await import('../plots.js');
    const { answerOne } = await import('../answer-one.js');
    const { loadVqaRad } = await import('../../../datasets/vqa-rad.js');
    const started = performance.now();
    const score = async (
      name: string,
      run: string,
      checkpoint: 'base' | 'auto',
      seconds: number,
      trainable: number,
    ): Promise<Scored> => {
      say(`${name}: answering the 451 test questions`);
      const result = await evaluateRun(run, { data: 'vqa-rad', split: 'official', on: 'test', checkpoint });
      return { name, run, seconds, trainable, ...result };
    };
    const scored: Scored[] = [];
    for (const { placement, variant, lr } of withControl ? [...tuned, control] : tuned) {
      const build = {
        preset: 'miss-tiny',
        variant,
        seed,
        weights: 'pretrained',
        moduleDropout: MODULE_DROPOUT,
        ...(variant === 'full' ? {} : { placement }),
      };
      const run = runPath(build, { out });
      rmSync(run, { recursive: true, force: true });
      const { parameters } = emitVariant(build, run);
      if (scored.length === 0) scored.push(await score('base', run, 'base', 0, 0));
      const name = `${variant} ${placement}`;
      const { seconds, finished } = await trainRun(
        { run, options: { ...trainDefaults, epochs, lr, seed }, resume: false },
        name,
      );
      if (!finished) throw new UserError('the demo was stopped', run, 'start it again: npm start');
      scored.push(await score(name, run, 'auto', seconds, parameters.trainable));
    }
    const [base, ...trained] = scored as [Scored, ...Scored[]];
    const curves = join(out, 'demo', 'curves.svg');
    await writeCurves(
      trained.map((s) => readMetrics(s.run, s.name)),
      curves,
      { title: 'LoRA on VQA-RAD, miss-tiny' },
    );
    const best = trained.reduce((a, b) =>
      b.evaluation.scores.overall.accuracy > a.evaluation.scores.overall.accuracy ? b : a,
    );
    const dataset = loadVqaRad();
    const answers = [];
    for (const { imageId, question, answer } of exampleQuestions(best.questions)) {
      const image = dataset.imagePath(imageId);
      answers.push({
        ...(await answerOne(best.run, { image, question, checkpoint: 'auto' })),
        truth: answer,
      });
    }
    const minutes = (performance.now() - started) / 60_000;
    if (json) {
      const results = scored.map((s) => ({
        name: s.name,
        ...s.evaluation,
        trainSeconds: s.seconds,
        trainable: s.trainable,
        ...comparisons(s, base),
      }));
      return console.log(JSON.stringify({ results, answers, curves, minutes, notice: NOTICE }));
    }
    console.log(`\nVQA-RAD, official split, 451 test questions\n\n${resultTable(scored, base)}\n`);
    console.log(
      "over majority: paired difference to always giving the majority's answer; p to base: McNemar, exact\n",
    );
    for (const { question, truth, answer, probability } of answers) {
      console.log(`  ${question}\n    ${answer} (${(100 * probability).toFixed(0)}%), reference: ${truth}`);
    }
    console.log(
      `\n${NOTICE}\n\n${minutes.toFixed(1)} minutes; curves ${curves}; runs ${trained.map((s) => s.run).join(', ')}`,
    );
    console.log(`next: npx ort-answer --run ${best.run} --image YOUR.png --question "..."`);
  },
});
