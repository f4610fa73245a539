/** @file `ort-weights import`: weights of other programs as a base for `build-graph --weights`. */
import type { Argv } from 'yargs';
import { normalisationNames } from '../../../../datasets/images/normalise.js';
import { moduleNames, moduleOf } from '../../../../graph-builder/models/config.js';
import { printable } from '../../../../training-artifacts/weights/formats/source.js';
import type {
  ImportPlan,
  LeftTensor,
  PlannedTensor,
} from '../../../../training-artifacts/weights/import-plan.js';
import { changedSizes, sizes } from '../build-options.js';
import { defineCommand, formatCount, formatTable, subcommand } from '../main.js';
import { siteFamilies } from '../site-families.js';

const options = (y: Argv) =>
  y
    .positional('source', {
      type: 'string',
      array: true,
      demandOption: true,
      describe:
        'files or model folders: safetensors (also in shards), PyTorch .pth, .pt, .bin, NumPy .npz. Names of MISS, BLIP, HF BLIP, HF BERT, HF and timm ViT are understood. Of several the later wins where both have a weight',
    })
    .option('preset', {
      type: 'string',
      demandOption: true,
      describe: 'the model to fill: miss-tiny, miss-small or miss-base',
    })
    .option('out', { type: 'string', demandOption: true, describe: 'the .safetensors file to write' })
    .option('normalisation', {
      choices: normalisationNames,
      describe:
        "how images were normalised for the image encoder; needed where the file's layout does not tell: half for most of timm's and Google's ViTs, imagenet for DeiT, clip for BLIP, reference for MISS",
    })
    .option('dtype', {
      choices: ['float32', 'float16', 'bfloat16'] as const,
      default: 'float32' as const,
      describe: 'of the file that is written; build-graph takes float32',
    })
    .option('strict', {
      type: 'boolean',
      default: false,
      describe: 'refuse to initialise anything or to leave a weight unused',
    })
    .option('seed', { type: 'number', default: 0, describe: 'draws what the sources do not have' })
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'print every tensor and its origin as JSON',
    })
    .options(sizes)
    .group(Object.keys(sizes), 'Sizes:')
    .example(
      '$0 import blip-vqa-base/ --preset miss-base --out base.safetensors',
      'a model folder of Hugging Face',
    )
    .example(
      '$0 import checkpoint.pth --normalisation reference --preset miss-base --out base.safetensors',
      'a MISS checkpoint',
    )
    .example(
      '$0 import vit.safetensors bert.bin --normalisation half --preset miss-base --out base.safetensors',
      'image encoder and text modules from two models',
    );

/** Rows of names that differ in layer numbers and leaves only. */
const families = (names: readonly string[]): string =>
  siteFamilies(names.map((name) => printable(name, 200).replace(/\.(weight|bias)$/, '')))
    .map(([family, count]) => `  ${count} x ${family}`)
    .join('\n');

/** The same, where a module that is missing as a whole is one row. */
function initialisedRows(tensors: readonly PlannedTensor[]): string {
  const whole = moduleNames.filter((module) =>
    tensors.every(({ name, kind }) => moduleOf(name) !== module || kind === 'initialised'),
  );
  const others = tensors.filter(
    ({ name, kind }) => kind === 'initialised' && !whole.includes(moduleOf(name)),
  );
  const rows = [...whole.map((module) => `  all of ${module}`), families(others.map(({ name }) => name))];
  return rows.filter(Boolean).join('\n');
}

const titles: Readonly<Record<LeftTensor['kind'], string>> = {
  unused: 'unused: the model has no place for them',
  tied: 'second copies of tied weights, equal to the first',
  buffer: 'computed numbers, no weights',
  beside: 'beside the model in the file, left out',
  replaced: 'replaced by a later source',
};

function moduleTable(tensors: readonly PlannedTensor[], countByModule: CountByModule): string {
  const kinds = ['mapped', 'resized', 'initialised'] as const;
  const rows = [...countByModule(tensors)].map(([module, counts]) => [
    module,
    ...kinds.flatMap((kind) => [String(counts[kind].tensors), formatCount(counts[kind].parameters)]),
  ]);
  return formatTable([['module', ...kinds.flatMap((kind) => [kind, 'numbers'])], ...rows]);
}

type CountByModule = typeof import('../../../../training-artifacts/weights/import-plan.js')['countByModule'];

/** The table of an import. */
function reportOf(plan: ImportPlan, out: string, countByModule: CountByModule): string {
  const { sources, tensors, left, notes, normalisation } = plan;
  const initialised = initialisedRows(tensors);
  const resized = tensors.filter(({ kind }) => kind === 'resized');
  const sections = [
    sources.map(({ path, format, layout }) => `${path}: ${format}, names of ${layout}`).join('\n'),
    moduleTable(tensors, countByModule),
    resized.length > 0 && `resized\n${resized.map(({ name, note }) => `  ${name}: ${note}`).join('\n')}`,
    initialised && `initialised: the sources do not have them\n${initialised}`,
    ...(Object.keys(titles) as LeftTensor['kind'][]).map((kind) => {
      const names = left.filter((t) => t.kind === kind).map(({ name }) => name);
      return names.length > 0 && `${titles[kind]}\n${families(names)}`;
    }),
    ...notes.map((note) => `note: ${note}`),
    `${out}: written, image normalisation ${normalisation}`,
  ];
  return sections.filter(Boolean).join('\n\n');
}

/** Every tensor and what became of it. */
function summaryOf({ sources, tensors, left, notes, normalisation }: ImportPlan, out: string) {
  const planned = tensors.map(({ name, shape, kind, file, from, note }) => ({
    name,
    shape,
    kind,
    file,
    from,
    note,
  }));
  return { out, sources, normalisation, notes, tensors: planned, left };
}

export const importCommand = subcommand(
  'import <source..>',
  defineCommand({
    describe: 'Weights of MISS, BLIP, HF BLIP, BERT or a ViT as base weights of this program',
    options,
    handler: async (flags) => {
      const { checkConfig, presetConfig } = await import('../../../../graph-builder/models/config.js');
      const { lossGraph } = await import('../../../../graph-builder/models/miss.js');
      const { countByModule } = await import('../../../../training-artifacts/weights/import-plan.js');
      const { importWeights } = await import('../../../../training-artifacts/weights/import-weights.js');
      const { progressBar } = await import('../progress-bar.js');
      const { source, preset, out, dtype, seed, strict, normalisation } = flags;
      const config = checkConfig({ ...presetConfig(preset), ...changedSizes(flags) });
      const { parameters } = lossGraph(config);
      const bar = progressBar('importing', '{percentage}%');
      let done = 0;
      const progress = (step: number, total: number) => {
        done += step;
        bar.update(done, total);
      };
      try {
        const settings = { preset, config, parameters, out, normalisation, dtype, seed, strict, progress };
        const plan = await importWeights(source, settings);
        bar.stop();
        if (flags.json) return console.log(JSON.stringify(summaryOf(plan, out)));
        console.log(reportOf(plan, out, countByModule));
        if (dtype === 'float32')
          console.log(`next: build-graph --preset ${preset} --weights ${out} --variant lora-r8`);
      } finally {
        bar.stop();
      }
    },
  }),
);
