/** @file `build-graph --from`: a run of an ONNX model that this project did not make. */
import { basename, join } from 'node:path';
import { UserError } from '../../../graph-builder/errors.js';
import type { LossName } from '../../../graph-builder/variant/imported.js';
import { emitImport, planImport } from '../../../training-artifacts/graphs/import-model.js';
import { formatCount } from './main.js';
import { siteFamilies } from './site-families.js';

export interface ImportFlags {
  readonly from: string;
  readonly variant?: string | undefined;
  readonly sites?: string | undefined;
  readonly alpha?: number | undefined;
  readonly loraDropout?: number | undefined;
  readonly loss?: string | undefined;
  readonly output?: string | undefined;
  readonly out: string;
  readonly name?: string | undefined;
  readonly seed: number;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** Flags that say something about this project's own model. */
const foreign = [
  'placement',
  'preset',
  'vit',
  'jtm',
  'decoder',
  'weights',
  'self-contained',
  'frozen-compute',
  'int8-skip',
] as const;

function checkFlags(flags: Readonly<Record<string, unknown>>): void {
  const given = foreign.find((flag) => flags[flag] !== undefined && flags[flag] !== false);
  if (given)
    throw new UserError(`--${given} is for models of this project`, `--${given}`, 'leave it out with --from');
  if (!flags.variant)
    throw new UserError('no variant given', '--variant', 'choose one, e.g. --variant lora-r8 --sites "**"');
  if (!flags.loss)
    throw new UserError(
      'no loss given',
      '--loss',
      'choose cross-entropy (int32 labels) or mse (float32 targets)',
    );
}

/** Builds the run, or counts only, and says what was done. */
export function buildImported(flags: ImportFlags): void {
  checkFlags(flags as unknown as Record<string, unknown>);
  const { from, variant, sites, alpha, loraDropout: dropout, loss, output, seed } = flags;
  const options = {
    from,
    variant: variant!,
    loss: loss as LossName,
    seed,
    ...(sites !== undefined && { sites }),
    ...(alpha !== undefined && { alpha }),
    ...(dropout !== undefined && { dropout }),
    ...(output !== undefined && { output }),
  };
  const plan = planImport(options);
  const { trainable, total, percent } = plan.parameters;
  const chosen = 'sites' in plan.tuning ? plan.tuning.sites : [];
  const run = join(flags.out, flags.name ?? `${basename(from).replace(/\.onnx$/, '')}-${variant}`);
  const summary = { from, variant, trainable, total, percent, sites: chosen };
  if (!flags.dryRun) emitImport(options, run, plan);
  if (flags.json) {
    console.log(JSON.stringify(flags.dryRun ? summary : { ...summary, run }));
    return;
  }
  console.log(
    `${formatCount(trainable)} of ${formatCount(total)} numbers trainable (${percent.toFixed(3)}%)`,
  );
  for (const [family, count] of siteFamilies(chosen)) console.log(`  ${count} x ${family}`);
  if (flags.dryRun) return;
  const arrays = plan.training.inputs.map((v) => v.name).filter((name) => name !== 'loss_scale');
  console.log(`\n${run}: training, evaluation and forward graph of ${from}`);
  console.log(`next: ort-train --run ${run} --data ARRAYS.safetensors   (arrays: ${arrays.join(', ')})`);
}
