/** @file How frozen weights lie in memory while training. */
import { cutRoles } from '../../../training-artifacts/graphs/cut-roles.js';
import {
  type GraphRole,
  isImported,
  type readAnyManifest,
} from '../../../training-artifacts/graphs/manifest.js';
import type { TrainOptions } from './options.js';

export type MemoryForm = 'packed' | 'mapped';

/** Numbers of a model from which its packed copies cost more than they save, by what its graph computes. */
const LARGE: Partial<Record<GraphRole, number>> = {
  training: 5e7,
  [cutRoles.vit.training]: 1e8,
  [cutRoles.kv.training]: Number.POSITIVE_INFINITY,
};

/**
 * Packed copies, one for each direction of a product, pay where products have a few dozen rows: texts. With hundreds
 * of image tokens in the graph they save next to nothing. Measured with LoRA F/P/P on 2 cores, seconds a step mapped and
 * packed: miss-base, batch 2: 3.4 and 3.5 without a cut, 0.70 and 0.66 with `vit`, 0.36 and 0.31 with `kv`, each with
 * 1.0 GB less where mapped; miss-small, batch 20: 1.8 and 1.8, with `vit` 0.52 and 0.44, 0.2 GB.
 */
export function memoryForm(
  manifest: ReturnType<typeof readAnyManifest>,
  role: GraphRole,
  { weightsInMemory }: TrainOptions,
): MemoryForm {
  if (weightsInMemory !== 'auto') return weightsInMemory;
  if (isImported(manifest)) return 'packed';
  return manifest.parameters.total > (LARGE[role] ?? Number.POSITIVE_INFINITY) ? 'mapped' : 'packed';
}
