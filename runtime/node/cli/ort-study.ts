/** @file `ort-study`: the paper's tables and figures, or a grid of one's own, by one command. */
import { availableParallelism } from 'node:os';
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { UserError } from '../../../graph-builder/errors.js';
import type { StudyContext } from '../study/commands.js';
import type { Row } from '../study/row.js';
import { checkCount, defineCommand, formatTable } from './main.js';

const options = (y: Argv) =>
  y
    .option('grid', {
      type: 'string',
      default: 'paper',
      describe:
        "paper (the rows of the paper's Tables 1 to 7), quick (six of them, 10 epochs), or a YAML file whose lists are crossed",
    })
    .option('tables', {
      type: 'string',
      default: '1-7',
      describe: 'with --grid paper: of these tables, e.g. 1-4 (original data) or 5-7 (instruction data)',
    })
    .option('seeds', { type: 'number', default: 3, describe: 'seeds of each row, from 0' })
    .option('data', {
      type: 'string',
      default: 'vqa-rad',
      describe: 'data set, as ort-train takes it; columns of a table: ort-data inspect --save',
    })
    .option('split', { type: 'string', default: 'official', describe: 'official, or image (disjoint)' })
    .option('preset', {
      type: 'string',
      default: 'miss-tiny',
      describe: 'miss-tiny, miss-small or miss-base',
    })
    .option('weights', { type: 'string', describe: 'base weights, as build-graph takes them' })
    .option('normalisation', { type: 'string', describe: 'image statistics of base weights from a file' })
    .option('epochs', { type: 'number', describe: 'of each row; default 12, quick and YAML 10' })
    .option('budget', {
      type: 'string',
      describe: 'start no run that would end after this time, e.g. 45m or 2h; the rest is named as cut',
    })
    .option('limit', { type: 'number', describe: 'a try-out: first n questions of training and test only' })
    .option('device', { type: 'string', describe: 'as ort-train takes it' })
    .option('jobs', {
      type: 'number',
      default: 1,
      describe:
        'runs side by side, each with its share of the cores and memory of its own; step times are then those of a shared machine',
    })
    .option('threads', {
      type: 'number',
      describe: 'threads inside an operator; default with --jobs: cores divided by jobs',
    })
    .option('out', {
      type: 'string',
      default: 'study',
      describe: 'folder of the study; a second call goes on there',
    })
    .option('list', {
      type: 'boolean',
      default: false,
      describe: 'print the commands that are left, one a line, and run nothing',
    })
    .option('format', {
      choices: ['lines', 'slurm', 'kubernetes'] as const,
      default: 'lines' as const,
      describe: 'with --list: lines, an sbatch script, or a Kubernetes Job',
    })
    .option('collect', {
      type: 'boolean',
      default: false,
      describe: 'write the report of what is finished, and run nothing',
    })
    .option('json', { type: 'boolean', default: false, describe: 'print the outcome as JSON' })
    .example('$0 --tables 1-4 --seeds 2', "the 23 rows of the paper's Tables 1 to 4")
    .example('$0 --grid quick --budget 30m', 'a first table')
    .example('$0 --tables 1-4 --jobs 2', 'two runs at a time: sooner done where models are small')
    .example('$0 --grid ranks.yaml --out ranks', 'method: lora / rank: [4, 8, 16] / lr: [5e-4, 2e-3]')
    .example('$0 --list | parallel -j 4', 'GNU parallel runs it; then --collect')
    .example('$0 --list --format slurm > study.sbatch', 'sbatch study.sbatch; then --collect')
    .example('$0 --list --format kubernetes > study.yaml', 'kubectl apply -f study.yaml; then --collect')
    .epilogue(GRID_FILE);

/** Stands below the examples. */
const GRID_FILE = `A grid file (.yaml); lists are crossed, a list of such mappings makes several crosses:

  method: [lora, dora]        # lora, rslora, dora, ia3, prefix, ptv2, full
  rank: [4, 8, 16]            # tokens: of prefix and ptv2
  placement: [F/P/P, T/T/P]
  lr: [5e-4, 2e-3]
  epochs: 20
  questions-per-image: 4

Other keys: sites, alpha, lora-dropout, module-dropout, weights, recompute, max-question-tokens and
the sizes of build-graph (image-size, hidden, ...); batch-size, accumulate, schedule, min-lr,
warmup-steps, weight-decay, lora-plus-ratio, clip, frame, augment, eval-every, early-stopping.`;

type Flags = ReturnType<typeof options> extends Argv<infer T> ? ArgumentsCamelCase<T> : never;

/** '1-4,6' -> [1, 2, 3, 4, 6] */
export function parseTables(text: string): number[] {
  const parts = text.split(',').map((part) => /^([1-7])(?:-([1-7]))?$/.exec(part.trim()));
  const tables = parts.flatMap((part) => {
    const [from, to] = [Number(part?.[1]), Number(part?.[2] ?? part?.[1])];
    return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
  });
  if (parts.every((part) => part) && tables.length > 0) return tables;
  throw new UserError(`tables '${text}'`, '--tables', 'give numbers from 1 to 7, e.g. 1-4 or 1,2,5');
}

/** The rows that the flags ask for. */
async function rowsOf(flags: Flags) {
  const { paperGrid, quickGrid } = await import('../study/paper-grid.js');
  const { preset, weights, normalisation } = flags;
  const grid = { preset, weights, normalisation, epochs: checkCount(flags.epochs, '--epochs') };
  const tables = parseTables(flags.tables);
  if (flags.grid === 'paper') return paperGrid(tables, grid);
  if (flags.grid === 'quick') return quickGrid(grid);
  if (!/\.ya?ml$/.test(flags.grid))
    throw new UserError(
      `unknown grid '${flags.grid}'`,
      '--grid',
      'choose paper, quick or a file that ends in .yaml',
    );
  const { readYamlGrid } = await import('../study/yaml-grid.js');
  return readYamlGrid(flags.grid, grid);
}

function contextOf(flags: Flags): StudyContext {
  const { out, data, split, preset, device } = flags;
  const jobs = checkCount(flags.jobs, '--jobs');
  const share = jobs > 1 ? Math.max(1, Math.floor(availableParallelism() / jobs)) : undefined;
  const threads = checkCount(flags.threads, '--threads') ?? share;
  const limit = checkCount(flags.limit, '--limit') ?? null;
  const machine = { ...(device !== undefined && { device }), ...(threads !== undefined && { threads }) };
  return { out, data, split, preset, limit, machine };
}

/** With what rows on instruction data need; writes it into the study's folder. */
async function withInstruction(context: StudyContext, rows: readonly Row[]): Promise<StudyContext> {
  if (!rows.some(({ form }) => form === 'instruction')) return context;
  const { prepareInstruction } = await import('../study/instruction.js');
  return { ...context, imageRoot: await prepareInstruction(context) };
}

/** Writes the report and says what is in it. */
async function report(out: string, json: boolean, more: object = {}): Promise<void> {
  const { writeStudyReport } = await import('../study/report.js');
  const { sentences } = await import('../study/words.js');
  const { interval } = await import('../study/report-tables.js');
  const { scoresOf } = await import('../study/scores.js');
  const { html, markdown, json: file, facts } = await writeStudyReport({ out });
  const { all, summary, missing, findings } = facts;
  const says = sentences(all, summary);
  if (json) {
    const told = { report: html, markdown, study: file, missing: missing.length, findings, summary: says };
    console.log(JSON.stringify({ ...told, ...more }));
    return;
  }
  const rows = all.rows.map((row) => ({ row, scores: scoresOf(row, all) }));
  const sorted = rows.toSorted((a, b) => b.scores.all.mean - a.scores.all.mean);
  console.log(
    formatTable([
      ['row', 'seeds', 'opened %', 'closed %', 'global % [95%]'],
      ...sorted.map(({ row, scores }) => [
        row.row.label,
        String(row.runs.length),
        (100 * scores.open.mean).toFixed(1),
        (100 * scores.closed.mean).toFixed(1),
        interval(scores.all),
      ]),
    ]),
  );
  console.log(`\n${says.join('\n').replaceAll('`', '')}`);
  console.log(`\nreport ${html}, ${markdown}${missing.length > 0 ? `; ${missing.length} runs missing` : ''}`);
}

async function printList(flags: Flags): Promise<void> {
  const { formatList, listCommands, listNotes } = await import('../study/list.js');
  const { joinSettings, runsOf, writeSettings } = await import('../study/settings.js');
  const rows = await rowsOf(flags);
  const context = await withInstruction(contextOf(flags), rows);
  const settings = joinSettings(context, rows, seedsOf(flags));
  const list = listCommands(context, runsOf(settings));
  writeSettings(context.out, settings); // --collect reads it
  if (flags.json) console.log(JSON.stringify(list));
  else if (list.lines.length > 0) console.log(formatList(list, flags.format, context));
  for (const note of listNotes(list, context)) process.stderr.write(`${note}\n`);
}

const seedsOf = (flags: Flags): number[] =>
  Array.from({ length: checkCount(flags.seeds, '--seeds') }, (_, seed) => seed);

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

async function work(flags: Flags): Promise<void> {
  const { parseBudget } = await import('../study/budget.js');
  const { lockStudy } = await import('../study/lock.js');
  const { joinSettings, runsOf, writeSettings } = await import('../study/settings.js');
  const { Study } = await import('../study/study.js');
  const { isFinished } = await import('../study/run-state.js');
  const { StudyProgress } = await import('./study-progress.js');
  const budget = flags.budget === undefined ? undefined : parseBudget(flags.budget);
  const given = contextOf(flags);
  const [rows, seeds] = [await rowsOf(flags), seedsOf(flags)];
  const unlock = lockStudy(given.out);
  const progress = new StudyProgress();
  try {
    const settings = joinSettings(given, rows, seeds);
    writeSettings(given.out, settings);
    const context = await withInstruction(given, rows);
    const asked = new Set(rows.map(({ id }) => id));
    const runs = runsOf(settings).filter(
      ({ row, seed }) => asked.has(row.id) && (seeds.includes(seed) || !row.trained),
    );
    const { writeStudyReport } = await import('../study/report.js');
    const onFinished = async () => void (await writeStudyReport(context));
    const study = new Study(context, runs, progress, { budget, jobs: flags.jobs, onFinished });
    const end = await study.work();
    progress.close();
    if (runs.some((run) => isFinished(context, run))) await report(context.out, flags.json, end);
    if (end.interruptedBy) {
      process.stderr.write('interrupted: the same command goes on\n');
      process.exitCode = exitCodes[end.interruptedBy];
      return;
    }
    if (end.cut > 0)
      process.stderr.write(`${end.cut} runs were cut by the budget: the same command goes on with them\n`);
    if (end.failed > 0) {
      process.stderr.write(
        `${end.failed} runs failed: see ${context.out}/log; the same command tries them again\n`,
      );
      process.exitCode = 1;
    }
  } finally {
    progress.close();
    unlock();
  }
}

/** `ort-study`: trains and scores a grid of rows, and writes its report. */
export const ortStudy = defineCommand({
  describe: "Compare tuning methods: the paper's tables and figures, or a grid of your own, resumable",
  options,
  handler: async (flags) => {
    if (flags.list && flags.collect)
      throw new UserError(
        '--list prints commands, --collect reads their runs',
        '--list',
        'give one of the two',
      );
    if (flags.list) return printList(flags);
    if (flags.collect) return report(flags.out, flags.json);
    return work(flags);
  },
});
