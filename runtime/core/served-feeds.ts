/** @file Trained tensors as the serving graphs take them. */
import type { AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import { servedTensors, type Variant } from '../../graph-builder/variant/variant.js';
import { type Feeds, float32 } from './session.js';

/** E.g. with alpha/rank folded into lora_B. `heads`: attention heads of the text modules. */
export function servedFeeds(tensors: AdapterTensors, variant: Variant, heads: number): Feeds {
  const served = servedTensors(tensors, variant, heads);
  return Object.fromEntries([...served].map(([name, { shape, data }]) => [name, float32(data, shape)]));
}
