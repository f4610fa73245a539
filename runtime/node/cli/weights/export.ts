/** @file `ort-weights export`: base weights, adapters merged in, for other programs. */
import type { Argv } from 'yargs';
import { normalisationNames } from '../../../../datasets/images/normalise.js';
import { changedSizes, sizes } from '../build-options.js';
import { defineCommand, subcommand } from '../main.js';

const options = (y: Argv) =>
  y
    .positional('source', {
      type: 'string',
      demandOption: true,
      describe: 'a run folder (its trained modules and adapters are merged in), or a base of `import`',
    })
    .option('layout', {
      choices: ['miss', 'hf-blip'] as const,
      demandOption: true,
      describe:
        "miss: names of MISS and BLIP's own code, load with strict=False (the tied output projection is not repeated); hf-blip: for transformers' BlipForQuestionAnswering.from_pretrained",
    })
    .option('out', {
      type: 'string',
      demandOption: true,
      describe: 'a .safetensors file; for hf-blip a folder, which gets config.json, too',
    })
    .option('dtype', {
      choices: ['float32', 'float16', 'bfloat16'] as const,
      default: 'float32' as const,
      describe: 'of the weights that are written',
    })
    .option('checkpoint', {
      type: 'string',
      default: 'auto',
      describe: 'of a run: auto (best, else last, else the untrained base), best, last, e.g. step-000120',
    })
    .option('preset', { type: 'string', describe: 'sizes of a file that does not say its own' })
    .option('normalisation', {
      choices: normalisationNames,
      describe: 'image statistics, where run and file do not say them',
    })
    .option('json', { type: 'boolean', default: false, describe: 'print the result as JSON' })
    .options(sizes)
    .group(Object.keys(sizes), 'Sizes:')
    .example('$0 export runs/lora-r8 --layout hf-blip --out my-blip', 'a trained run for transformers')
    .example(
      '$0 export runs/lora-r8 --layout miss --out miss.safetensors --dtype float16',
      'for the MISS code',
    );

export const exportCommand = subcommand(
  'export <source>',
  defineCommand({
    describe: 'Base weights, adapters merged in, for MISS, BLIP or transformers',
    options,
    handler: async (flags) => {
      const { checkConfig, presetConfig } = await import('../../../../graph-builder/models/config.js');
      const { exportWeights } = await import('../../../../training-artifacts/weights/export-weights.js');
      const { source, layout, out, dtype, preset, normalisation } = flags;
      const config = preset && checkConfig({ ...presetConfig(preset), ...changedSizes(flags) });
      const checkpoint = flags.checkpoint as 'auto';
      const exported = await exportWeights({
        source,
        layout,
        out,
        dtype,
        checkpoint,
        normalisation,
        ...(config && { config }),
      });
      if (flags.json) return console.log(JSON.stringify(exported));
      console.log(`${exported.files.join(', ')}: ${exported.tensors} tensors in ${dtype}`);
      if (layout === 'hf-blip' && !exported.normalisation)
        console.log('no preprocessor_config.json: the source does not say how images were normalised');
    },
  }),
);
