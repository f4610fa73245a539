/** @file Adapters of the golden files, away from their initial values. */
import type { Tensor } from '../../runtime/core/session.js';
import { readTensors } from './golden.js';

/** Adapter tensors of all modules for a variant's name, by reference name. */
export const variantTensors = (variant: string): Record<string, Tensor> =>
  readTensors(
    /^(rs)?lora-r4$/.test(variant) ? 'lora/adapters.safetensors' : `variants/${variant}.safetensors`,
  );
