/** @file Sizes of the model: presets and their checks. */
import { UserError } from '../errors.js';

/** Sizes of a MISS model. Source: the reference model's configuration for `miss-base`. */
export interface MissConfig {
  /** side of the square image, pixels */
  readonly imageSize: number;
  readonly patchSize: number;
  /** width of all three modules */
  readonly hidden: number;
  /** width of the feed-forward layers */
  readonly intermediate: number;
  readonly visionLayers: number;
  readonly visionHeads: number;
  /** layers of each text module */
  readonly textLayers: number;
  readonly textHeads: number;
  /** word pieces, [DEC] and [ENC] included */
  readonly vocab: number;
  readonly maxPositions: number;
  readonly labelSmoothing: number;
}

const shared = { patchSize: 16, vocab: 30524, maxPositions: 512, labelSmoothing: 0.1 };

export const presets = {
  /** the paper's model: 361,478,972 parameters */
  'miss-base': {
    ...shared,
    imageSize: 480,
    hidden: 768,
    intermediate: 3072,
    visionLayers: 12,
    visionHeads: 12,
    textLayers: 12,
    textHeads: 12,
  },
  /** its text bodies have the sizes of all-MiniLM-L6-v2, its ViT those of ViT-S */
  'miss-small': {
    ...shared,
    imageSize: 224,
    hidden: 384,
    intermediate: 1536,
    visionLayers: 12,
    visionHeads: 6,
    textLayers: 6,
    textHeads: 12,
  },
  /** for laptops, the demo and the tests; trained base weights ship with the project */
  'miss-tiny': {
    ...shared,
    imageSize: 160,
    hidden: 128,
    intermediate: 512,
    visionLayers: 4,
    visionHeads: 4,
    textLayers: 3,
    textHeads: 4,
  },
} as const satisfies Record<string, MissConfig>;

export type PresetName = keyof typeof presets;

/** @throws {UserError} when no preset has this name. */
export function presetConfig(name: string): MissConfig {
  if (Object.hasOwn(presets, name)) return presets[name as PresetName];
  throw new UserError(
    `unknown preset '${name}'`,
    '--preset',
    `choose from ${Object.keys(presets).join(', ')}`,
  );
}

/** @throws {UserError} when the sizes do not fit each other. */
export function checkConfig(config: MissConfig): MissConfig {
  const fail = (what: string, where: string, remedy: string): never => {
    throw new UserError(what, where, remedy);
  };
  for (const [name, value] of Object.entries(config)) {
    if (name === 'labelSmoothing' ? !(value >= 0 && value < 1) : !Number.isInteger(value) || value < 1) {
      fail(`${name} is ${value}`, 'model size', 'give a positive whole number');
    }
  }
  if (config.imageSize % config.patchSize !== 0) {
    fail(
      'the image is not a whole number of patches',
      `imageSize ${config.imageSize}`,
      `choose a multiple of ${config.patchSize}`,
    );
  }
  for (const heads of [config.visionHeads, config.textHeads]) {
    if (config.hidden % heads !== 0)
      fail(`${heads} heads do not divide the width`, `hidden ${config.hidden}`, 'choose a divisor');
  }
  return config;
}

/** Image tokens: the patches and the class token. */
export const imageTokens = ({ imageSize, patchSize }: MissConfig): number => (imageSize / patchSize) ** 2 + 1;

export const moduleNames = ['visual_encoder', 'text_encoder', 'text_decoder'] as const;
export type ModuleName = (typeof moduleNames)[number];

/** The module that a parameter belongs to. */
export function moduleOf(parameter: string): ModuleName {
  const found = moduleNames.find((name) => parameter.startsWith(`${name}.`));
  if (!found) throw new Error(`internal: ${parameter} is in no module`);
  return found;
}
