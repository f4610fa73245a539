/** @file `build-graph`: the ONNX graphs of one variant. */
import type { Argv } from 'yargs';
import { UserError } from '../../../graph-builder/errors.js';
import type { Plan } from '../../../training-artifacts/graphs/emit.js';
import { buildOptions, toBuildOptions } from './build-options.js';
import { defineCommand, formatCount, formatTable } from './main.js';

const options = (y: Argv) =>
  buildOptions(y)
    .option('out', { type: 'string', default: 'runs', describe: 'parent of the run folder' })
    .option('name', { type: 'string', describe: 'name of the run folder; default: the variant' })
    .option('seed', {
      type: 'number',
      default: 0,
      describe: "draws the adapters' initial values and random weights",
    })
    .option('self-contained', {
      type: 'boolean',
      default: false,
      describe: 'copy the weights beside the graphs',
    })
    .option('dry-run', { type: 'boolean', default: false, describe: 'count parameters only; writes nothing' })
    .option('json', { type: 'boolean', default: false, describe: 'print the summary as JSON' })
    .example('$0 --variant lora-r8', 'LoRA of rank 8 on the decoder, the encoders trained (T/T/P)')
    .example('$0 --variant lora-r8 --placement F/P/P', 'LoRA on both text modules, the image encoder frozen')
    .example('$0 --variant lora-r4 --preset miss-base --dry-run --json', "counts of the paper's model")
    .example('$0 --variant full --weights random', 'all parameters, from scratch');

/** What `--dry-run --json` prints. */
function summaryOf({ preset, variant, parameters }: Plan, placement: string) {
  const { trainable, total, percent, modules } = parameters;
  return { preset, variant: variant.name, placement, trainable, total, percent, modules };
}

function tableOf({ trainable, total, percent, modules }: ReturnType<typeof summaryOf>): string {
  const row = (name: string, t: number, all: number) => [
    name,
    formatCount(t),
    formatCount(all),
    `${((100 * t) / all).toFixed(3)}%`,
  ];
  return formatTable([
    ['module', 'trainable', 'total', 'share'],
    ...Object.entries(modules).map(([name, c]) => row(name, c.trainable, c.total)),
    ['all', formatCount(trainable), formatCount(total), `${percent.toFixed(3)}%`],
  ]);
}

/** `build-graph`: emit the ONNX graphs of one variant. */
export const buildGraph = defineCommand({
  describe: 'Emit training, evaluation and inference graphs for one variant',
  options,
  handler: async (flags) => {
    if (!flags.variant)
      throw new UserError('no variant given', '--variant', 'choose one, e.g. --variant lora-r8');
    const { emitVariant, planVariant } = await import('../../../training-artifacts/graphs/emit.js');
    const { formatPlacement } = await import('../../../graph-builder/variant.js');
    const { runPath } = await import('../runs.js');
    const build = toBuildOptions(flags);
    const plan = planVariant(build);
    const placement = formatPlacement(plan.variant.placement);
    const summary = summaryOf(plan, placement);
    if (flags.dryRun) {
      console.log(flags.json ? JSON.stringify(summary) : tableOf(summary));
      return;
    }
    const run = runPath(build, flags);
    const manifest = emitVariant(build, run);
    if (flags.json) return console.log(JSON.stringify({ ...summary, run, weights: manifest.weights }));
    console.log(tableOf(summary));
    console.log(
      `\n${run}: ${Object.keys(manifest.graphs).length} graphs of ${build.variant} at ${placement}, base weights ${manifest.weights.source}`,
    );
    console.log(`next: ort-train --run ${run}`);
  },
});
