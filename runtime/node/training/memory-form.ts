/** @file How frozen weights lie in memory while training. */
import { cutRoles } from '../../../training-artifacts/graphs/cut-roles.js';
import {
  type GraphRole,
  isImported,
  type readAnyManifest,
} from '../../../training-artifacts/graphs/manifest.js';
import type { TrainOptions } from './options.js';

export type MemoryForm = 'packed' | 'mapped';

/** Numbers of a model whose packed copies are hundreds of megabytes. */
const LARGE = 5e7;

/**
 * Packed copies, one for each direction of a product, pay where products have a few dozen rows: texts. With hundreds
 * of image tokens in the graph they save next to nothing. Measured at miss-base, batch 2, LoRA F/P/P, 2 cores: mapped
 * and packed 3.4 and 3.5 s a step without a cut, 0.70 and 0.66 with `vit`, 0.36 and 0.31 with `kv`, each with 1.0 GB
 * less where mapped; at miss-small, batch 20, mapped and packed differ by less than the machine wavers.
 */
export function memoryForm(
  manifest: ReturnType<typeof readAnyManifest>,
  role: GraphRole,
  { weightsInMemory }: TrainOptions,
): MemoryForm {
  if (weightsInMemory !== 'auto') return weightsInMemory;
  if (isImported(manifest)) return 'packed';
  const onlyTexts = role === cutRoles.kv.training;
  return manifest.parameters.total > LARGE && !onlyTexts ? 'mapped' : 'packed';
}
