/** @file Weights of this program for others: the reference's names, or a Hugging Face BLIP model. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type NormalisationName, normalisationNames } from '../../datasets/images/normalise.js';
import { FileError, UserError } from '../../graph-builder/errors.js';
import { checkConfig, type MissConfig } from '../../graph-builder/models/config.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import type { CheckpointName } from '../checkpoint/checkpoint.js';
import { writeJson } from '../files.js';
import { readManifest } from '../graphs/manifest.js';
import { withMergedWeights } from '../graphs/merge.js';
import { encodeFloats, type FloatType, floatPieces, storedTypes } from './convert.js';
import { withWeights } from './formats/open-source.js';
import type { TensorSource } from './formats/source.js';
import { blipConfig, blipPreprocessor } from './hf-config.js';
import { hfBlipName } from './layouts/hf-blip.js';
import { type StreamedTensor, streamSafetensors } from './safetensors-file.js';

export const exportLayouts = ['miss', 'hf-blip'] as const;

export interface ExportOptions {
  /** a run folder, or a base of `ort-weights import` */
  readonly source: string;
  readonly layout: (typeof exportLayouts)[number];
  /** a .safetensors file, or for hf-blip a folder */
  readonly out: string;
  readonly dtype: FloatType;
  /** of a run */
  readonly checkpoint: CheckpointName | 'auto';
  /** sizes of a file that does not say its own */
  readonly config?: MissConfig | undefined;
  readonly normalisation?: NormalisationName | undefined;
}

export interface Exported {
  readonly files: readonly string[];
  readonly tensors: number;
  readonly normalisation: NormalisationName | undefined;
}

/** Float32 numbers by the reference's names, and what belongs to them. */
interface Weights {
  readonly config: MissConfig;
  readonly normalisation: NormalisationName | undefined;
  readonly tensors: ReadonlyMap<
    string,
    { readonly shape: readonly number[]; readonly pieces: () => Iterable<Float32Array<ArrayBuffer>> }
  >;
}

/** Sizes that `ort-weights import` recorded. */
function statedConfig({ metadata, path }: TensorSource, given: MissConfig | undefined): MissConfig {
  if (given) return given;
  try {
    return checkConfig(JSON.parse(metadata.config ?? ''));
  } catch {
    throw new UserError(
      `${path} does not say the sizes of its model`,
      '--preset',
      'give --preset, e.g. miss-base',
    );
  }
}

/** @throws {FileError} naming the first parameter that the file lacks or has in another shape. */
function weightsOf(source: TensorSource, options: ExportOptions): Weights {
  const config = statedConfig(source, options.config);
  const tensors = lossGraph(config).parameters.map(({ name, shape }) => {
    const tensor = source.tensors.get(name);
    if (!tensor || tensor.shape.join() !== shape.join()) {
      const what = tensor ? `${name} is [${tensor.shape}]` : `there is no ${name}`;
      throw new FileError(
        `${what}, the model needs [${shape}]`,
        source.path,
        'export a run, or a file that `ort-weights import` wrote',
      );
    }
    const pieces = () => floatPieces(tensor, source.path);
    return [name, { shape: tensor.shape, pieces }] as const;
  });
  const stated = normalisationNames.find((name) => name === source.metadata.normalisation);
  return { config, normalisation: options.normalisation ?? stated, tensors: new Map(tensors) };
}

/** Writes what the options ask for. */
function write({ config, normalisation, tensors }: Weights, options: ExportOptions): Exported {
  const { layout, out, dtype } = options;
  const isFile = out.endsWith('.safetensors');
  const file = isFile ? out : join(out, 'model.safetensors');
  const named = [...tensors].map(([name, { shape, pieces }]): [string, StreamedTensor] => {
    function* encoded() {
      for (const values of pieces()) yield encodeFloats(values, dtype, `${file}, tensor ${name}`);
    }
    return [
      layout === 'miss' ? name : hfBlipName(name),
      { dtype: storedTypes[dtype], shape, pieces: encoded },
    ];
  });
  streamSafetensors(file, new Map(named), {
    format: 'pt',
    ...(layout === 'miss' && { config: JSON.stringify(config), ...(normalisation && { normalisation }) }),
  });
  const files = [file];
  const beside = (name: string, value: unknown) => {
    writeJson(join(out, name), value);
    files.push(join(out, name));
  };
  if (!isFile) {
    if (normalisation) beside('preprocessor_config.json', blipPreprocessor(config, normalisation));
    beside('config.json', blipConfig(config, dtype));
  }
  return { files, tensors: named.length, normalisation };
}

/**
 * Exports base weights; of a run with its trained modules and adapters merged in. The tied output projection is
 * not repeated: BLIP's and transformers' loaders tie it themselves.
 *
 * @throws {UserError} for a method that cannot be merged; {FileError} for a damaged run or file.
 */
export async function exportWeights(options: ExportOptions): Promise<Exported> {
  const { source, layout, out, checkpoint } = options;
  if (layout === 'miss' && !out.endsWith('.safetensors'))
    throw new UserError('the reference has single files', '--out', 'give a .safetensors file');
  if (!existsSync(join(source, 'manifest.json')))
    return withWeights(source, (file) => write(weightsOf(file, options), options));
  const manifest = readManifest(source);
  return withMergedWeights(source, manifest, checkpoint, (merged) => {
    const tensors = [...merged].map(([name, { shape, bytes }]) => {
      const pieces = () => {
        const { buffer, byteOffset, byteLength } = bytes();
        return [new Float32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4)];
      };
      return [name, { shape, pieces }] as const;
    });
    const normalisation = options.normalisation ?? manifest.image.normalisation;
    return write({ config: manifest.config, normalisation, tensors: new Map(tensors) }, options);
  });
}
