/** @file report.md: the model card of a trained run. */
import { basename, join } from 'node:path';
import { adaptersOf, placementOf } from '../../../graph-builder/variant/variant.js';
import { writeAtomic } from '../../../training-artifacts/files.js';
import {
  type ImportedManifest,
  isImported,
  type Manifest,
} from '../../../training-artifacts/graphs/manifest.js';
import { formatCount, NOTICE } from '../cli/main.js';
import { baseLicence, bestOf, type DataFacts, dataFacts, type RunFacts, runFacts } from './report-facts.js';
import {
  type Cell,
  type Ending,
  ending,
  environment,
  facts,
  hyperparameters,
  percent,
  results,
  section,
  table,
} from './report-sections.js';

const HUB_NAMES: Readonly<Record<string, string>> = {
  'vqa-rad': 'flaviagiammarino/vqa-rad',
  'vqa-rad-base': 'flaviagiammarino/vqa-rad',
};

function modules({ variant, parameters }: Manifest): string {
  const placement = placementOf(variant);
  const rows = Object.entries(parameters.modules).map(([name, { trainable, total }]): Cell[] => {
    const key = name as keyof typeof placement;
    return [
      name,
      { F: 'frozen', T: 'trained', P: variant.modules[key].method }[placement[key]],
      formatCount(trainable),
      formatCount(total - trainable),
    ];
  });
  const { trainable, total, percent: share } = parameters;
  const sum = ['all', `${share.toFixed(3)}%`, formatCount(trainable), formatCount(total - trainable)];
  return table(['module', 'tuning', 'trained', 'frozen'], [...rows, sum]);
}

/** Settings of the adapters, one line a module that has one. */
const adapters = ({ variant }: Manifest): string =>
  adaptersOf(variant)
    .map(({ method, sites, ...settings }) => {
      const said = Object.entries(settings).map(([key, value]) => `${key} ${value}`);
      return `- ${[method, ...said].join(', ')}; ${sites.length} sites, the first ${sites[0]}`;
    })
    .join('\n');

function frontMatter({ manifest, options, ...run }: RunFacts, variant: string, data: DataFacts): string {
  const hub = HUB_NAMES[data.name];
  const best = bestOf({ ...run });
  const model = [
    'model-index:',
    `- name: ${JSON.stringify(variant)}`,
    '  results:',
    '  - task:',
    '      type: visual-question-answering',
    '    dataset:',
    `      type: ${hub ?? data.name}`,
    `      name: ${JSON.stringify(`${data.name}, ${basename(options.split)} split, validation (${data.validation} questions)`)}`,
    '    metrics:',
    '    - type: accuracy',
    `      value: ${best && percent(best.accuracy)}`,
  ];
  return [
    '---',
    `license: ${baseLicence(manifest.weights.source).id}`,
    'library_name: mile-ort',
    'pipeline_tag: visual-question-answering',
    'language:',
    '- en',
    ...(hub ? ['datasets:', `- ${hub}`] : []),
    'metrics:',
    '- accuracy',
    'tags:',
    '- medical',
    '- onnx',
    ...(best ? model : []),
    '---',
  ].join('\n');
}

function limits({ text, config }: Manifest, { split }: RunFacts['options'], data: DataFacts): string {
  return [
    ...(split === 'official'
      ? [
          'Almost all test images of the official split are trained on, too: its scores say nothing about unseen images.',
        ]
      : []),
    `It has seen ${data.images} images of one data set (head CT and MRI, chest X-ray, abdominal CT), asked about in English.`,
    `Images are shrunk to ${config.imageSize} x ${config.imageSize} pixels: what is smaller than a few of them is lost.`,
    `Questions end at ${text.maxQuestionTokens} word pieces, answers at ${text.maxAnswerTokens}.`,
    'It always answers, also where the image does not show what is asked about. Its probabilities are not calibrated until `ort-eval --calibrate` has done so.',
    'One seed; how far another one would move the scores was not measured.',
  ]
    .map((line) => `- ${line}`)
    .join('\n');
}

const intendedUse = `Research on tuning methods for visual question answering. Out of scope: any use for patients, any deployed use.\n\n${NOTICE}`;

/** What computes with frozen weights, where that is not float32. */
const computeRows = ({ frozenCompute: compute }: Manifest): [string, Cell][] => {
  if (!compute) return [];
  const { form, modules, skipped } = compute;
  const kept = skipped.length > 0 ? `, in float32: ${skipped.map(({ name }) => name).join(', ')}` : '';
  return [['frozen products', `8 bits, ${form}, in ${modules.join(', ')}${kept}`]];
};

const weightRows = ({ source, sha256 }: Manifest['weights']): [string, Cell][] => [
  ['source', source],
  ['sha256', sha256],
  ['licence', baseLicence(source).text],
];

/** The card of a model that answers questions about images. */
async function answeringCard(run: RunFacts, manifest: Manifest, end: Ending): Promise<string> {
  const { options } = run;
  const data = await dataFacts(options);
  const placement = Object.values(placementOf(manifest.variant)).join('/');
  return [
    frontMatter(run, manifest.variant.name, data),
    `# ${manifest.variant.name} ${placement} on ${data.name}`,
    `**${NOTICE}**`,
    `A ${manifest.preset} model (MISS: image encoder, joint text encoder, text decoder), tuned with MILE-ORT. ${ending(run, end)}`,
    section('Base weights', facts([...weightRows(manifest.weights), ...computeRows(manifest)])),
    section(
      'Data',
      facts([
        ['data set', data.name],
        ['licence', data.licence],
        ['split', basename(options.split)],
        ['sha256 of the split', data.splitSha256],
        ['training questions', data.train],
        ['of these answered yes or no', data.yesNo],
        ['images of these', data.images],
        ['validation questions', data.validation],
        ['test questions (not used)', data.test],
      ]),
    ),
    section('What was trained', modules(manifest), adapters(manifest)),
    section('Hyperparameters', hyperparameters(run)),
    section('Results', results(run)),
    section('Environment', environment(run)),
    section('Known limits', limits(manifest, options, data)),
    section('Intended use', intendedUse),
  ].join('\n\n');
}

/** The card of somebody else's model, of which less is known. */
function importedCard(run: RunFacts, manifest: ImportedManifest, end: Ending): string {
  const { parameters, source, loss, output, inputs } = manifest;
  return [
    '---\nlicense: unknown\nlibrary_name: mile-ort\ntags:\n- onnx\n---',
    `# ${manifest.variant} of ${source.file}`,
    `Tuned with MILE-ORT. ${ending(run, end)}`,
    section(
      'Model',
      facts([
        ['source', source.file],
        ['sha256', source.sha256],
        ['licence', baseLicence(manifest.weights.source).text],
        ['trained', formatCount(parameters.trainable)],
        ['frozen', formatCount(parameters.total - parameters.trainable)],
        ['loss', `${loss} of ${output}`],
        ['arrays', inputs.map(({ name, dtype, shape }) => `${name} ${dtype} [${shape}]`).join(', ')],
      ]),
    ),
    section('Hyperparameters', hyperparameters(run)),
    section('Results', results(run)),
    section('Environment', environment(run)),
    section('Intended use', 'Research.', NOTICE),
  ].join('\n\n');
}

/** Writes `report.md`. @throws {FileError} when the run has no checkpoint or cannot be written to. */
export async function writeReport(run: string, end: Ending): Promise<string> {
  const path = join(run, 'report.md');
  const known = runFacts(run);
  const { manifest } = known;
  const card = isImported(manifest)
    ? importedCard(known, manifest, end)
    : await answeringCard(known, manifest, end);
  writeAtomic(path, `${card}\n`);
  return path;
}
