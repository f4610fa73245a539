/** @file The options that say what a variant is; `build-graph` and `ort-train` share them. */
import type { Argv } from 'yargs';
import { normalisationNames } from '../../../datasets/images/normalise.js';
import type { MissConfig } from '../../../graph-builder/models/config.js';
import { recomputeModes } from '../../../graph-builder/rewrites/recompute.js';
import type { BuildOptions } from '../../../training-artifacts/graphs/plan.js';
import { DEFAULT_PRESET } from '../runs.js';

const size = (describe: string) => ({ type: 'number' as const, describe });

/** Sizes that may differ from the preset's. */
export const sizes = {
  'image-size': size('side of the image, pixels'),
  'patch-size': size('side of a patch, pixels'),
  hidden: size('width of all modules'),
  intermediate: size('width of the feed-forward layers'),
  'vision-layers': size('layers of the image encoder'),
  'vision-heads': size('its attention heads'),
  'text-layers': size('layers of each text module'),
  'text-heads': size('their attention heads'),
  'max-positions': size('longest text, word pieces'),
};

const ofModule = (module: string) => ({
  type: 'string' as const,
  describe: `${module}: F, T or a method of its own, e.g. lora-r4; wins over --placement`,
});
const moduleOptions = {
  vit: ofModule('image encoder'),
  jtm: ofModule('JTM encoder'),
  decoder: ofModule('text decoder'),
};

export const PLACEMENT_HELP =
  'image encoder/JTM encoder/decoder, each F (frozen), T (trained) or P (adapted); default T/T/P. Measured on ' +
  'VQA-RAD with miss-tiny, 10 epochs on 2 cores, yes/no questions: F/P/P trains 0.05 M numbers in 81 s, 57.0% to ' +
  '57.8%; T/T/P 5.7 M in 181 s, 57.0% to 63.3%; full 10.5 M in 223 s, 62.5%';

export const buildOptions = <T>(y: Argv<T>) =>
  y
    .option('variant', {
      type: 'string',
      describe:
        'method and its size: lora-rN (e.g. lora-r8), rslora-rN, dora-rN, ia3, prefix-nN (e.g. prefix-n10), ptv2-nN or full',
    })
    .option('placement', { type: 'string', describe: PLACEMENT_HELP })
    .options(moduleOptions)
    .option('preset', {
      type: 'string',
      describe: `miss-tiny, miss-small or miss-base; default ${DEFAULT_PRESET}`,
    })
    .option('sites', {
      type: 'string',
      describe:
        'where adapters go: globs of weight names, comma-separated, or a preset. LoRA: paper (query and key; in the ' +
        'ViT every product, as the tables count), text (query and key in the ViT, too, as its text says), peft (query ' +
        'and value), all-linear. (IA)3: paper (in the ViT the input of fc2), vit-attention (outputs of qkv and proj)',
    })
    .option('alpha', { type: 'number', describe: 'LoRA alpha; default 32' })
    .option('lora-dropout', { type: 'number', describe: "dropout on the adapters' inputs; default 0.1" })
    .option('module-dropout', {
      type: 'number',
      describe: 'dropout of modules that are not frozen; default 0.1',
    })
    .option('recompute', {
      choices: recomputeModes,
      describe:
        'what the backward pass rebuilds instead of keeping: less memory, the same numbers. selective: attention, dropout masks, activations and what else is cheap; blocks: all but the residual stream, a fifth slower; default selective where an image encoder of 150 tokens or more has gradients (it costs 0 to 8% of the time), else none',
    })
    .option('precision', {
      choices: ['float32', 'float16', 'bfloat16'] as const,
      describe:
        'of the matrix products while training; float16 and bfloat16 are for GPUs, master weights stay float32; default float32',
    })
    .option('frozen-compute', {
      type: 'string',
      describe:
        'float32 (default), int8, int8-weight-only, or with modules, e.g. int8:visual_encoder,text_encoder: products with frozen weights in 8 bits, forward and backward; adapters, trained weights and the vocabulary head stay float32. int8 is for the CPU (faster, least memory), int8-weight-only for WebGPU (less memory)',
    })
    .option('int8-skip', {
      type: 'string',
      describe:
        'with int8: layers left in float32. auto (default): the few that 8 bits hurt most, measured on training questions; none; or globs of weight names',
    })
    .option('reference-dropout', {
      type: 'boolean',
      describe: 'dropout in frozen modules, too, as the reference leaves them in training mode',
    })
    .option('weights', {
      type: 'string',
      describe: 'base weights: pretrained, random or FILE.safetensors; default: pretrained where they ship',
    })
    .option('normalisation', {
      choices: normalisationNames,
      describe: 'image statistics of base weights from a file; default: what the file says, else imagenet',
    })
    .option('max-question-tokens', { type: 'number', describe: 'default 35; instruction data need 128' })
    .options(sizes)
    .group(Object.keys(sizes), 'Sizes:');

type Flags = Readonly<Record<string, unknown>>;

const given = (entries: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined));

/** The sizes that were given, by their names in the configuration. */
export function changedSizes(flags: Flags): Partial<MissConfig> {
  const camel = (flag: string) => flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  return given(Object.fromEntries(Object.keys(sizes).map((flag) => [camel(flag), flags[flag]])));
}

/** The parsed flags as what the emitter takes. */
export function toBuildOptions(flags: Flags): BuildOptions {
  const changed = changedSizes(flags);
  const modules = given({ visual_encoder: flags.vit, text_encoder: flags.jtm, text_decoder: flags.decoder });
  return {
    preset: (flags.preset as string | undefined) ?? DEFAULT_PRESET,
    ...given({
      variant: flags.variant,
      ...(Object.keys(modules).length > 0 && { modules }),
      referenceDropout: flags['reference-dropout'],
      recompute: flags.recompute,
      precision: flags.precision,
      placement: flags.placement,
      sites: flags.sites,
      alpha: flags.alpha,
      dropout: flags['lora-dropout'],
      moduleDropout: flags['module-dropout'],
      weights: flags.weights,
      normalisation: flags.normalisation,
      maxQuestionTokens: flags['max-question-tokens'],
      seed: flags.seed,
      selfContained: flags['self-contained'],
      ...(Object.keys(changed).length > 0 && { sizes: changed }),
    }),
  };
}
