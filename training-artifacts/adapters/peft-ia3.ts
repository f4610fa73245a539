/** @file (IA)3 in a PEFT folder. */
import { z } from 'zod';
import { FileError } from '../../graph-builder/errors.js';
import { type Ia3Settings, ia3Name } from '../../graph-builder/rewrites/ia3.js';
import {
  byReferenceName,
  keyed,
  type ModuleAdapter,
  type PeftFormat,
  parseConfig,
  refuseSettings,
  type StoredModule,
  targetPaths,
} from './peft-format.js';

const configSchema = z.object({ feedforward_modules: z.union([z.string(), z.array(z.string())]).nullish() });

export const ia3Format: PeftFormat<Ia3Settings> = {
  config: (_module, { sites, feedforward }) => ({
    fan_in_fan_out: false,
    feedforward_modules: targetPaths(feedforward),
    init_ia3_weights: true,
    modules_to_save: null,
    peft_type: 'IA3',
    target_modules: targetPaths(sites),
  }),
  write: (_module, { sites }, tensors) => keyed(sites.map(ia3Name), tensors),
};

/** Reads a folder of type IA3. A vector [1, in] scales its site's input, [out, 1] (or [1, out, 1, 1]) its output. */
export function readIa3(source: StoredModule): ModuleAdapter {
  parseConfig(configSchema, 'an (IA)3', source);
  refuseSettings(source.config, ['fan_in_fan_out', 'modules_to_save'], source.configFile);
  const tensors = byReferenceName(source);
  const sites = [...tensors].map(([name, { shape }]) => {
    const site = name.replace(/ia3_l$/, 'weight');
    if (site === name || !(shape.length === 4 || (shape.length === 2 && Math.min(...shape) === 1))) {
      throw new FileError(
        `${name} [${shape}] is no (IA)3 vector`,
        source.weightsFile,
        'save the adapter again with PEFT',
      );
    }
    return { site, atInput: shape.length === 2 && shape[0] === 1 };
  });
  return {
    tuning: {
      method: 'ia3',
      sites: sites.map(({ site }) => site),
      feedforward: sites.filter(({ atInput }) => atInput).map(({ site }) => site),
    },
    tensors,
  };
}
