/** @file Writes the report of a study: report.html, report.md, study.json, csv/ and figures/. */
import { join } from 'node:path';
import Papa from 'papaparse';
import { writeAtomic, writeJson } from '../../../training-artifacts/files.js';
import { renderSvg } from '../plots.js';
import { type Collected, collect } from './collect.js';
import type { StudyContext } from './commands.js';
import { figuresFor, pageTheme, paperTheme } from './figures.js';
import { findings } from './findings.js';
import { toHtml } from './html.js';
import { toMarkdown } from './markdown.js';
import { figuresOf } from './paper.js';
import { reportBlocks, type StudyFacts } from './report-blocks.js';
import { isFinished } from './run-state.js';
import { agreement, type Comparison, scoresOf } from './scores.js';
import { readSettings, runsOf } from './settings.js';
import { readState } from './state.js';
import { summarise } from './words.js';

const percent = (share: number): number => Number((100 * share).toFixed(4));

/** One line a run. */
const runRecords = ({ rows, yesNo }: Collected) =>
  rows.flatMap(({ runs }) =>
    runs.map((run) => {
      const share = (keep: (i: number) => boolean) => {
        const kept = run.answers.filter((_, i) => keep(i));
        return percent(kept.filter(({ correct }) => correct).length / kept.length);
      };
      return {
        run: run.id,
        row: run.row.id,
        seed: run.seed,
        variant: run.row.variant,
        placement: run.row.placement,
        form: run.row.form,
        open: share((i) => !yesNo[i]),
        closed: share((i) => yesNo[i]!),
        all: share(() => true),
        trainable: run.parameters.trainable,
        total: run.parameters.total,
        trainablePercent: run.parameters.percent,
        epochs: run.epochs,
        toTheEnd: run.toTheEnd,
        threads: run.threads,
        secondsPerStep: run.secondsPerStep,
        seconds: run.seconds,
        peakBytes: run.peakBytes,
        adapterBytes: run.adapterBytes,
      };
    }),
  );

/** One line a row and kind of question, the paper's figures beside ours. */
const rowRecords = (all: Collected) =>
  all.rows.flatMap((result) => {
    const { row, runs } = result;
    const scores = scoresOf(result, all);
    const paper = row.tables
      .map((t) => figuresOf(t, row.variant, row.placement))
      .find((p) => p !== undefined);
    return (['open', 'closed', 'all'] as const).map((kind) => ({
      row: row.id,
      tables: row.tables.join(' '),
      questions: kind,
      n: scores[kind].questions,
      seeds: runs.length,
      mean: percent(scores[kind].mean),
      low: percent(scores[kind].low),
      high: percent(scores[kind].high),
      paper: paper?.[kind] ?? null,
    }));
  });

const comparisonRecords = (comparisons: readonly Comparison[]) =>
  comparisons.map(({ a, b, difference, tie, p }) => ({
    a,
    b,
    difference: percent(difference.mean),
    low: percent(difference.low),
    high: percent(difference.high),
    tie,
    mcnemarP: p.map((v) => Number(v.toPrecision(4))).join(' '),
  }));

const agreementRecords = ({ rows }: Collected) =>
  rows.map((a) => ({
    row: a.row.id,
    ...Object.fromEntries(
      rows.map((b) => {
        const share = agreement(a, b);
        return [b.row.id, share === undefined ? null : percent(share)];
      }),
    ),
  }));

/** One line a question: the reference, then what each run answered. */
function answerRecords({ rows }: Collected) {
  const runs = rows.flatMap((row) => row.runs);
  return runs[0]!.answers.map(({ qid, question, truth }, i) => ({
    qid,
    question,
    reference: truth,
    ...Object.fromEntries(runs.map(({ id, answers }) => [id, answers[i]!.answer])),
  }));
}

/** One line an epoch: mean training loss, nats an answer token. */
const lossRecords = ({ rows }: Collected) =>
  rows.flatMap(({ runs }) =>
    runs.flatMap(({ id, metrics: { steps } }) =>
      [...new Set(steps.map(({ epoch }) => epoch))].map((epoch) => {
        const of = steps.filter((step) => step.epoch === epoch);
        const loss = of.reduce((sum, step) => sum + step.loss, 0) / of.length;
        return { run: id, epoch: epoch + 1, steps: of.length, loss: Number(loss.toFixed(5)) };
      }),
    ),
  );

/** Text that a spreadsheet would take for a formula is kept from being one. */
const csv = (records: readonly object[]): string =>
  `${Papa.unparse(records as object[], { newline: '\n', escapeFormulae: /^[=@\t\r]/ })}\n`;

export interface ReportFiles {
  readonly html: string;
  readonly markdown: string;
  readonly json: string;
  readonly facts: StudyFacts;
}

/** Everything that is said of a study. */
function gather(out: string): StudyFacts {
  const settings = readSettings(out);
  const { split, limit } = settings;
  const context = { out, split, limit };
  const runs = runsOf(settings);
  const all = collect(context, runs);
  return {
    settings,
    state: readState(out),
    missing: runs.filter((run) => !isFinished(context, run)),
    all,
    summary: summarise(all),
    findings: findings(all.rows, settings.rows),
    figures: figuresFor(all),
  };
}

/**
 * Writes the report of what is finished.
 *
 * @throws {UserError} when nothing is. @throws {FileError} when the folder cannot be written.
 */
export async function writeStudyReport(context: Pick<StudyContext, 'out'>): Promise<ReportFiles> {
  const { out } = context;
  const facts = gather(out);
  const { all, summary, figures } = facts;
  const onPage = new Map<string, string>();
  for (const figure of figures) {
    onPage.set(figure.name, await renderSvg(figure.spec(pageTheme)));
    writeAtomic(join(out, 'figures', `${figure.name}.svg`), await renderSvg(figure.spec(paperTheme)));
  }
  const comparisons = [...summary.toBest, ...summary.toBase];
  const records = {
    runs: runRecords(all),
    rows: rowRecords(all),
    comparisons: comparisonRecords(comparisons),
    agreement: agreementRecords(all),
  };
  const csvs = { ...records, answers: answerRecords(all), losses: lossRecords(all) };
  for (const [name, lines] of Object.entries(csvs)) writeAtomic(join(out, 'csv', `${name}.csv`), csv(lines));
  const { settings, state, missing, findings: judged } = facts;
  const json = join(out, 'study.json');
  writeJson(json, {
    settings,
    state,
    missing: missing.map(({ row, seed }) => ({ row: row.id, seed })),
    findings: judged,
    ...records,
  });
  const blocks = reportBlocks(facts);
  const markdown = join(out, 'report.md');
  writeAtomic(markdown, toMarkdown(blocks));
  const html = join(out, 'report.html');
  writeAtomic(html, toHtml(`Tuning methods on ${settings.data}`, blocks, onPage));
  return { html, markdown, json, facts };
}
