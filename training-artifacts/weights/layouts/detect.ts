/** @file Which layout a file has, found by its names. */
import { bert } from './bert.js';
import { hfBlip } from './hf-blip.js';
import type { Layout } from './layout.js';
import { miss } from './miss.js';
import { hfVit, timmVit } from './vit.js';

/** The more special first: BERT's names also end those of BLIP's text modules. */
export const layouts: readonly Layout[] = [hfBlip, miss, bert, hfVit, timmVit];

/** What trainers wrap a state dict in. */
const WRAPPERS =
  /^(?:(?:model|model_state|model_state_dict|state_dict|module|net|network|params|backbone|encoder|vision_model|0\.auto_model)\.)*$/;

export interface Detected {
  readonly layout: Layout;
  /** stands before every name, e.g. 'model.' */
  readonly prefix: string;
}

/** The layout of the names, undefined when none is known. Of several wrappers the shortest is taken. */
export function detectLayout(names: Iterable<string>): Detected | undefined {
  const all = [...names];
  for (const layout of layouts) {
    const prefixes = layout.signatures.flatMap((signature) =>
      all
        .filter((name) => name.endsWith(signature))
        .map((name) => name.slice(0, name.length - signature.length))
        .filter((prefix) => WRAPPERS.test(prefix)),
    );
    const prefix = prefixes.sort((a, b) => a.length - b.length)[0];
    if (prefix !== undefined) return { layout, prefix };
  }
  return undefined;
}
