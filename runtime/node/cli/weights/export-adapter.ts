/** @file `ort-weights export-adapter`: what a run learned, for other programs. */
import type { Argv } from 'yargs';
import { UserError } from '../../../../graph-builder/errors.js';
import type { Comparison } from '../../compare-runs.js';
import { absolute } from '../data/read-flags.js';
import { checkCount, defineCommand, formatTable, subcommand } from '../main.js';
import { answerBar } from '../ort-eval.js';

const options = (y: Argv) =>
  y
    .positional('run', { type: 'string', demandOption: true, describe: 'run folder' })
    .option('out', {
      type: 'string',
      describe: 'folder to write; default: RUN/adapter, RUN/onnx-adapter, or with --merge RUN-merged',
    })
    .option('checkpoint', {
      type: 'string',
      default: 'auto',
      describe:
        'auto (best, else last), base (untrained), or a file in checkpoint/: best, last, e.g. step-000120',
    })
    .option('format', {
      choices: ['peft', 'onnx-adapter'] as const,
      describe:
        "peft (default): a folder for each module as Hugging Face PEFT writes it; onnx-adapter: ONNX Runtime's own .onnx_adapter files, with graphs whose adapters may be left out",
    })
    .option('merge', {
      type: 'boolean',
      default: false,
      describe: 'fold the adapter into the weights: a run folder of its own, without extra inputs',
    })
    .option('precision', {
      choices: ['float32', 'float16', 'int8'] as const,
      describe:
        'with --merge: how its weights are stored; float16 is computed with in float32, int8 in 8 bits but for the layers that these hurt; default float32',
    })
    .option('score', {
      type: 'boolean',
      default: true,
      describe: 'with --merge: compare its answers with the run on the test questions; --no-score skips it',
    })
    .option('split', {
      type: 'string',
      describe:
        "with --merge: whose test questions of the run's data set; default: that of the training, or official",
    })
    .option('limit', { type: 'number', describe: 'with --merge: first n questions only' })
    .option('threads', { type: 'number', describe: 'threads inside an operator' })
    .option('json', { type: 'boolean', default: false, describe: 'print the summary as JSON' })
    .example('$0 export-adapter runs/lora-r8', 'the PEFT folder of the best checkpoint')
    .example(
      '$0 export-adapter runs/lora-r8 --merge --precision float16',
      'one file of half the size, and what that costs',
    )
    .example(
      '$0 export-adapter runs/lora-r8 --format onnx-adapter',
      "for Python's onnxruntime and its multi-LoRA sessions",
    );

type Flags = Awaited<ReturnType<typeof options>['argv']>;

/** @throws {UserError} for flags that contradict each other. */
function checkFlags({ merge, format, precision }: Flags): void {
  if (merge && format !== undefined)
    throw new UserError('--merge leaves no adapter to write', '--format', 'give one of the two');
  if (!merge && precision !== undefined)
    throw new UserError('--precision needs --merge: adapters are float32', '--precision', 'add --merge');
}

/** @throws {UserError} when the run has learned nothing yet. */
async function checkTrained({ run, checkpoint }: Flags): Promise<void> {
  const { hasCheckpoint } = await import('../../../../training-artifacts/checkpoint/checkpoint.js');
  const { readAnyManifest } = await import('../../../../training-artifacts/graphs/manifest.js');
  if (readAnyManifest(run).trainable.length === 0)
    throw new UserError('nothing is trained in this run', run, 'give a run with a T or a P in its placement');
  if (checkpoint !== 'auto' || (['best', 'last'] as const).some((name) => hasCheckpoint(run, name))) return;
  throw new UserError('the run is not trained yet', run, `ort-train --run ${run}, or add --checkpoint base`);
}

const percent = (share: number): string => (100 * share).toFixed(1);

function describeComparison({ before, after, difference, mcnemar, changed }: Comparison): string {
  const points = (share: number) => `${share < 0 ? '' : '+'}${percent(share)}`;
  const { n, low, high } = difference;
  return [
    formatTable([
      ['accuracy on test', 'n', '%', '95%'],
      ...[['the run', before] as const, ['merged', after] as const].map(([name, a]) => [
        name,
        String(a.n),
        percent(a.accuracy),
        `${percent(a.low)}-${percent(a.high)}`,
      ]),
    ]),
    `difference ${points(difference.difference)} points (95% interval ${points(low)} to ${points(high)}), McNemar p ${mcnemar.p.toFixed(3)}; ${changed} of ${n} answers changed`,
  ].join('\n');
}

async function scored(flags: Flags, target: string): Promise<Comparison | undefined> {
  if (!flags.score) return undefined;
  const { compareRuns } = await import('../../compare-runs.js');
  const { trainedOn } = await import('../../trained-on.js');
  const { readOptions } = await import('../../data.js');
  const { checkpoint } = flags;
  const told = flags.split === undefined ? {} : { split: absolute(flags.split) };
  const { data = 'vqa-rad', split = 'official', ...columns } = trainedOn(flags.run, told);
  const [limit, threads] = [checkCount(flags.limit, '--limit'), checkCount(flags.threads, '--threads')];
  const bar = answerBar();
  try {
    const shared = { data, split, on: 'test', checkpoint, onProgress: bar.update } as const;
    return await compareRuns(flags.run, target, {
      ...readOptions(columns),
      ...shared,
      ...(limit && { limit }),
      ...(threads && { threads }),
    });
  } finally {
    bar.stop();
  }
}

/** The merged run's folder. 8-bit weights are those that a page gets, too. */
async function writeMerged({ run, checkpoint, precision = 'float32' }: Flags, target: string) {
  if (precision === 'int8') {
    const { exportWeb } = await import('../../../../training-artifacts/graphs/export-web.js');
    const { frozenComputeOfRun } = await import('../../frozen-compute-options.js');
    const frozenCompute = await frozenComputeOfRun(run);
    return exportWeb(run, target, { quantize: 'int8', frozenCompute, merge: true, checkpoint });
  }
  const { mergeRun } = await import('../../../../training-artifacts/graphs/merge.js');
  return mergeRun(run, target, { checkpoint, precision });
}

async function merge(flags: Flags): Promise<void> {
  const { join, relative, resolve } = await import('node:path');
  const { statSync } = await import('node:fs');
  const { weightFiles } = await import('../../../../training-artifacts/graphs/weight-files.js');
  const { run, precision = 'float32' } = flags;
  const suffix = precision === 'float32' ? '' : `-${precision}`;
  const target = flags.out ?? relative('.', `${resolve(run)}-merged${suffix}`);
  const { weights } = await writeMerged(flags, target);
  const bytes = weightFiles(weights).reduce((n, { file }) => n + statSync(join(target, file)).size, 0);
  const comparison = await scored(flags, target);
  if (flags.json)
    return console.log(
      JSON.stringify({ run, folder: target, precision, weights, bytes, ...(comparison && { comparison }) }),
    );
  console.log(
    `${target}: ${run} with its adapters folded into ${weights.file}, ${precision}, ${(bytes / 1e6).toFixed(1)} MB`,
  );
  if (comparison) console.log(`\n${describeComparison(comparison)}`);
  console.log(`\nnext: ort-answer --run ${target} --image scan.png --question "..."`);
}

async function exportFolder(flags: Flags): Promise<void> {
  const { join } = await import('node:path');
  const { run, checkpoint, format = 'peft' } = flags;
  if (format === 'peft') {
    const { exportAdapter } = await import('../../training/finish.js');
    const folder = exportAdapter(run, flags.out ?? join(run, 'adapter'), checkpoint);
    return console.log(
      flags.json ? JSON.stringify({ run, folder, format }) : `${folder}: the adapter as PEFT loads it`,
    );
  }
  const { writeOnnxAdapterFolder } = await import(
    '../../../../training-artifacts/graphs/onnx-adapter-folder.js'
  );
  const folder = flags.out ?? join(run, 'onnx-adapter');
  const files = writeOnnxAdapterFolder(run, folder, checkpoint);
  if (flags.json) return console.log(JSON.stringify({ run, folder, format, files }));
  console.log(`${folder}: graphs with the base's values as defaults, and their adapters`);
  console.log(
    formatTable([['graph', 'adapter'], ...files.map(({ graph, adapter = '-' }) => [graph, adapter])]),
  );
}

/** `export-adapter RUN`. */
export const exportAdapterCommand = subcommand(
  'export-adapter <run>',
  defineCommand({
    describe: 'Write what a run learned: a PEFT folder, .onnx_adapter files, or merged weights',
    options,
    handler: async (flags) => {
      checkFlags(flags);
      await checkTrained(flags);
      return flags.merge ? merge(flags) : exportFolder(flags);
    },
  }),
);
