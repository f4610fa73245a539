/** @file `ort-weights export-web`: a run as a folder that a browser loads. */
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { UserError } from '../../../../graph-builder/errors.js';
import type { WebManifest } from '../../../../training-artifacts/graphs/export-web.js';
import type { FrozenCompute } from '../../../../training-artifacts/graphs/frozen-compute.js';
import type { Comparison } from '../../compare-runs.js';
import { checkCount, defineCommand, formatTable, subcommand } from '../main.js';
import { answerBar } from '../ort-eval.js';

const options = (y: Argv) =>
  y
    .positional('run', { type: 'string', demandOption: true, describe: 'run folder' })
    .option('out', { type: 'string', demandOption: true, describe: 'the new folder' })
    .option('quantize', {
      choices: ['none', 'fp16', 'int8'] as const,
      default: 'none' as const,
      describe: 'none: float32; fp16: half the size, computed in float32; int8: a quarter to a third',
    })
    .option('form', {
      choices: ['dynamic', 'weight-only'] as const,
      describe:
        "with int8: dynamic (default: the run's own form, else this) is for WebAssembly and the CPU, weight-only also for WebGPU",
    })
    .option('int8-skip', {
      type: 'string',
      describe: 'with int8: layers left in float32: auto (default, measured), none, or globs of weight names',
    })
    .option('with-training', {
      type: 'boolean',
      default: false,
      describe: 'also the graphs that train in the browser',
    })
    .option('merge', {
      type: 'boolean',
      describe:
        'fold adapters and trained modules into the weights; default: where a module is trained whole, as that leaves nothing frozen to make small',
    })
    .option('overwrite', { type: 'boolean', default: false, describe: 'replace an export of that name' })
    .option('score', {
      type: 'boolean',
      default: true,
      describe: 'answer the test questions with both and print the difference; --no-score leaves it out',
    })
    .option('split', {
      choices: ['official', 'image'] as const,
      default: 'official' as const,
      describe: 'with --score',
    })
    .option('limit', { type: 'number', describe: 'with --score: first n test questions only' })
    .option('threads', { type: 'number', describe: 'with --score: threads inside an operator' })
    .option('json', { type: 'boolean', default: false, describe: 'print the summary as JSON' })
    .example('$0 export-web runs/lora-r8 --out web/lora-r8 --quantize fp16', 'half the download')
    .example(
      '$0 export-web runs/lora-r8 --out web/gpu --quantize int8 --form weight-only',
      'for WebGPU, a third of the download',
    );

type Flags = ReturnType<typeof options> extends Argv<infer T> ? ArgumentsCamelCase<T> : never;

/** @throws {UserError} for flags of another form. */
async function frozenComputeFor(
  run: string,
  { quantize, form, int8Skip }: Flags,
): Promise<FrozenCompute | undefined> {
  if (quantize === 'int8') {
    const { frozenComputeOfRun } = await import('../../frozen-compute-options.js');
    return frozenComputeOfRun(run, form, int8Skip);
  }
  const given = form ? '--form' : int8Skip !== undefined ? '--int8-skip' : undefined;
  if (given) throw new UserError(`${given} needs --quantize int8`, given, 'leave it out');
  return undefined;
}

async function scored(run: string, out: string, flags: Flags): Promise<Comparison> {
  const { join } = await import('node:path');
  const { rmSync } = await import('node:fs');
  const { compareRuns } = await import('../../compare-runs.js');
  const [limit, threads] = [checkCount(flags.limit, '--limit'), checkCount(flags.threads, '--threads')];
  const bar = answerBar();
  try {
    return await compareRuns(run, out, {
      data: 'vqa-rad',
      split: flags.split,
      on: 'test',
      checkpoint: 'auto',
      onProgress: bar.update,
      ...(limit && { limit }),
      ...(threads && { threads }),
    });
  } finally {
    bar.stop();
    rmSync(join(out, 'eval'), { recursive: true, force: true }); // questions and answers are not for the page
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
const percent = (share: number): string => (100 * share).toFixed(1);
const points = (share: number): string => `${share < 0 ? '' : '+'}${percent(share)}`;

function describeFiles({ files, bytes }: WebManifest): string {
  const large = [...files].sort((a, b) => b.bytes - a.bytes).slice(0, 8);
  return formatTable([
    ['file', 'size', 'sha256'],
    ...large.map((f) => [f.file, megabytes(f.bytes), f.sha256.slice(0, 12)]),
    [`all ${files.length} files`, megabytes(bytes), ''],
  ]);
}

function describeScore({ before, after, difference, mcnemar, changed, seconds }: Comparison): string {
  const row = (name: string, a: Comparison['after'], speed: number) => [
    name,
    String(a.n),
    percent(a.accuracy),
    `${percent(a.low)}-${percent(a.high)}`,
    speed.toFixed(1),
  ];
  const table = formatTable([
    ['accuracy on test', 'n', '%', '95%', 'questions/s, CPU'],
    row('the run', before, before.n / seconds.before),
    row('exported', after, after.n / seconds.after),
  ]);
  return `${table}\ndifference ${points(difference.difference)} points (95% interval ${points(difference.low)} to ${points(difference.high)}), McNemar p ${mcnemar.p.toFixed(3)}; ${changed} of ${after.n} answers changed`;
}

/** `ort-weights export-web`. */
export const exportWebCommand = subcommand(
  'export-web <run>',
  defineCommand({
    describe: 'Write a run as a folder that a browser loads: float32, float16 or 8-bit weights',
    options,
    handler: async (flags) => {
      const { join } = await import('node:path');
      const { readJson, writeJson } = await import('../../../../training-artifacts/files.js');
      const { exportWeb } = await import('../../../../training-artifacts/graphs/export-web.js');
      const { run, out, quantize, withTraining, merge, overwrite } = flags;
      const frozenCompute = await frozenComputeFor(run, flags);
      const manifest = exportWeb(run, out, {
        quantize,
        withTraining,
        overwrite,
        ...(frozenCompute && { frozenCompute }),
        ...(merge !== undefined && { merge }),
      });
      const file = join(out, 'web.json');
      const web = readJson(file) as WebManifest;
      const comparison = flags.score ? await scored(run, out, flags) : undefined;
      if (comparison) writeJson(file, { ...web, comparison });
      if (flags.json)
        return console.log(JSON.stringify({ run, folder: out, ...web, ...(comparison && { comparison }) }));
      const form = web.form ? `, ${web.form}` : '';
      console.log(
        `${out}: ${run} as ${quantize === 'none' ? 'float32' : quantize}${form}, ${Object.keys(manifest.graphs).length} graphs\n`,
      );
      console.log(describeFiles(web));
      if (comparison) console.log(`\n${describeScore(comparison)}`);
      console.log(`\nnext: ort-answer --run ${out} --image scan.png --question "..."`);
    },
  }),
);
