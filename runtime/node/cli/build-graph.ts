/** @file `build-graph`: the ONNX graphs of one variant. */
import type { Argv } from 'yargs';
import { UserError } from '../../../graph-builder/errors.js';
import type { Manifest } from '../../../training-artifacts/graphs/manifest.js';
import type { Plan } from '../../../training-artifacts/graphs/plan.js';
import { buildOptions, toBuildOptions } from './build-options.js';
import { defineCommand, formatCount, formatTable } from './main.js';
import { siteFamilies } from './site-families.js';

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
    .option('merge', {
      type: 'string',
      describe: 'a trained run: write it as a run without adapters, folded into the weights',
    })
    .option('from', {
      type: 'string',
      describe:
        'an ONNX model of another program (opset 13 or later): adapt it at --sites, train it with --loss',
    })
    .option('loss', {
      choices: ['cross-entropy', 'mse'] as const,
      describe: 'with --from: what compares the output with `labels`',
    })
    .option('output', { type: 'string', describe: 'with --from: that output; default: the first' })
    .option('list', {
      type: 'boolean',
      default: false,
      describe: "list the 23 rows of the paper's Tables 1 to 4 with their commands",
    })
    .option('target', {
      choices: ['inference', 'ort-training'] as const,
      default: 'inference' as const,
      describe:
        "ort-training: also ort-training/, the official artifacts for Python's onnxruntime-training, with batches and train.py",
    })
    .option('dry-run', { type: 'boolean', default: false, describe: 'count parameters only; writes nothing' })
    .option('json', { type: 'boolean', default: false, describe: 'print the summary as JSON' })
    .example('$0 --variant lora-r8', 'LoRA of rank 8 on the decoder, the encoders trained (T/T/P)')
    .example('$0 --variant ia3 --placement F/P/P', '(IA)3 on both text modules, the image encoder frozen')
    .example('$0 --vit lora-r4 --jtm T --decoder prefix-n10', 'a method of its own for each module')
    .example('$0 --variant lora-r4 --preset miss-base --dry-run --json', "counts of the paper's model")
    .example('$0 --variant full --weights random', 'all parameters, from scratch')
    .example(
      '$0 --variant lora-r8 --placement F/P/P --frozen-compute int8',
      'frozen weights in 8 bits, as quick and small as this CPU can',
    )
    .example(
      '$0 --from bert.onnx --variant lora-r8 --sites "**.self.{query,value}.weight" --loss cross-entropy',
      'LoRA in a model that PyTorch exported',
    )
    .example('$0 --merge runs/lora-r8', 'the trained adapter folded into plain weights');

/** What `--dry-run --json` prints, and the weights that get an adapter. */
function summaryOf({ preset, variant, parameters }: Plan, placement: string) {
  const { trainable, total, percent, modules } = parameters;
  const sites = Object.values(variant.modules).flatMap((tuning) => ('sites' in tuning ? tuning.sites : []));
  return { counts: { preset, variant: variant.name, placement, trainable, total, percent, modules }, sites };
}

function tableOf({ counts, sites }: ReturnType<typeof summaryOf>): string {
  const { trainable, total, percent, modules } = counts;
  const row = (name: string, t: number, all: number) => [
    name,
    formatCount(t),
    formatCount(all),
    `${((100 * t) / all).toFixed(3)}%`,
  ];
  const table = formatTable([
    ['module', 'trainable', 'total', 'share'],
    ...Object.entries(modules).map(([name, c]) => row(name, c.trainable, c.total)),
    ['all', formatCount(trainable), formatCount(total), `${percent.toFixed(3)}%`],
  ]);
  const adapted = siteFamilies(sites).map(([family, count]) => `  ${count} x ${family}`);
  return adapted.length === 0 ? table : `${table}\n\nadapters on\n${adapted.join('\n')}`;
}

/** The paper's rows with the command of each. */
async function listRows(json: boolean): Promise<string> {
  const { paperRows } = await import('../../../graph-builder/variant/paper-rows.js');
  const rows = paperRows.map((row) => ({
    ...row,
    command: `build-graph --variant ${row.variant} --placement ${row.placement} --preset miss-base`,
  }));
  if (json) return JSON.stringify(rows);
  return formatTable([
    ['command', 'table', '#params'],
    ...rows.map((row) => [row.command, String(row.table), `${row.percent.toFixed(3)}%`]),
  ]);
}

/** `--merge`: a trained run without its adapters. */
async function merge(
  run: string,
  flags: { out: string; name?: string | undefined; json: boolean },
): Promise<void> {
  const { basename, join } = await import('node:path');
  const { mergeRun } = await import('../../../training-artifacts/graphs/merge.js');
  const target = join(flags.out, flags.name ?? `${basename(run)}-merged`);
  const { weights } = mergeRun(run, target);
  if (flags.json) return console.log(JSON.stringify({ run: target, weights }));
  console.log(`${target}: ${run} with its adapters folded into ${weights.file}`);
  console.log(`next: ort-eval --run ${target}`);
}

/** e.g. "int8 dynamic in visual_encoder; in float32: 2 layers (auto)" */
function frozenComputeLine({ form, modules, skip, skipped }: NonNullable<Manifest['frozenCompute']>): string {
  const layers = skipped.map(({ name, error }) =>
    error === null ? `\n  ${name}` : `\n  ${name}, error ${(100 * error).toFixed(1)}%`,
  );
  const kept = `layers left in float32 (${skip}): ${skipped.length}${layers.join('')}`;
  return `frozen products in 8 bits, ${form}: ${modules.join(', ')}; ${kept}`;
}

/** Real batches that `ort-training/train.py` reads. */
async function writeTrainingBatches(run: string, manifest: Manifest): Promise<void> {
  const { join } = await import('node:path');
  const { exportBatches } = await import('../ort-training-batches.js');
  const { writeBatches } = await import('../../../training-artifacts/ort-training/batches.js');
  const { ORT_TRAINING } = await import('../../../training-artifacts/ort-training/write.js');
  writeBatches(join(run, ORT_TRAINING, 'batches.safetensors'), await exportBatches(manifest));
}

/** `build-graph`: emit the ONNX graphs of one variant. */
export const buildGraph = defineCommand({
  describe: 'Emit training, evaluation and inference graphs for one variant',
  options,
  handler: async (flags) => {
    if (flags.list) return console.log(await listRows(flags.json));
    if (flags.merge !== undefined) {
      if (flags.variant)
        throw new UserError('--merge takes the variant of its run', '--variant', 'give one of the two');
      if (flags.frozenCompute) {
        const remedy = 'ort-weights export-web RUN --out DIR --merge --quantize int8';
        throw new UserError('--merge writes float32 weights', '--frozen-compute', remedy);
      }
      return merge(flags.merge, flags);
    }
    if (flags.from !== undefined) {
      const { buildImported } = await import('./build-imported.js');
      return buildImported({ ...flags, from: flags.from });
    }
    for (const flag of ['loss', 'output'] as const)
      if (flags[flag] !== undefined)
        throw new UserError(`--${flag} needs --from`, `--${flag}`, 'leave it out');
    const { emitVariant } = await import('../../../training-artifacts/graphs/emit.js');
    const { planVariant } = await import('../../../training-artifacts/graphs/plan.js');
    const { formatPlacement } = await import('../../../graph-builder/variant/placement.js');
    const { placementOf } = await import('../../../graph-builder/variant/variant.js');
    const { runPath } = await import('../runs.js');
    const build = toBuildOptions(flags);
    const plan = planVariant(build);
    const placement = formatPlacement(placementOf(plan.variant));
    const summary = summaryOf(plan, placement);
    if (flags.dryRun) {
      console.log(flags.json ? JSON.stringify(summary.counts) : tableOf(summary));
      return;
    }
    const run = runPath(build, flags);
    const { withFrozenCompute } = await import('../frozen-compute-options.js');
    const chosen = await withFrozenCompute(build, flags.frozenCompute, flags.int8Skip);
    const manifest = emitVariant({ ...chosen, target: flags.target }, run);
    if (flags.target === 'ort-training') await writeTrainingBatches(run, manifest);
    if (flags.json) {
      const { weights, frozenCompute } = manifest;
      return console.log(
        JSON.stringify({ ...summary.counts, sites: summary.sites, run, weights, frozenCompute }),
      );
    }
    console.log(tableOf(summary));
    console.log(
      `\n${run}: ${Object.keys(manifest.graphs).length} graphs of ${plan.variant.name} at ${placement}, base weights ${manifest.weights.source}`,
    );
    if (manifest.frozenCompute) console.log(frozenComputeLine(manifest.frozenCompute));
    console.log(`next: ort-train --run ${run}`);
  },
});
