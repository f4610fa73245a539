/** @file The two programs on the work of a row: what they are told, and how they are started. */
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../../datasets/package-root.js';
import { withFrozenCompute } from '../../../runtime/node/frozen-compute-options.js';
import { withHugePages } from '../../../runtime/node/huge-pages.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import { type Manifest, readManifest, weightsPath } from '../../../training-artifacts/graphs/manifest.js';
import { cacheFolder } from '../../../training-artifacts/weights/cache.js';
import type { PeerRow, StepRow } from './rows.js';
import { Worker } from './worker.js';

export const settingNames = ['eager', 'sdpa', 'compile', 'channels-last', 'bf16'] as const;
export type Setting = (typeof settingNames)[number];

export interface Settings {
  readonly repeats: number;
  readonly threads: number | undefined;
  /** auto: the fastest at float32 */
  readonly setting: Setting | 'auto';
  readonly python: string;
  /** after which a row measures no more rounds */
  readonly rowSeconds: number;
  /** training questions of an epoch; undefined: all */
  readonly limit: number | undefined;
  /** for all temporary files */
  readonly folder: string;
}

const PACKAGES = ['torch==2.13.0', 'transformers==5.24.0', 'peft==0.21.2', 'safetensors', 'numpy', 'pillow'];
/** Written when all packages are there; its number rises with them. */
const COMPLETE = 'complete-2';

/** The interpreter of a virtual environment with the peers. */
export function pythonWithPeers(): string {
  const folder = join(cacheFolder(), 'peers');
  const python = join(folder, 'bin', 'python');
  if (!existsSync(join(folder, COMPLETE))) {
    console.error(`making a virtual environment with ${PACKAGES.join(', ')} in ${folder}`);
    execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...PACKAGES], { stdio: 'inherit' });
    writeFileSync(join(folder, COMPLETE), '');
  }
  return python;
}

export const script = (name: string): string => join(packageRoot(), 'test', 'bench', 'peers', name);
export const ourBin = (name: string): string =>
  new URL(`../../../runtime/node/cli/bin/${name}.js`, import.meta.url).pathname;

/** Waiting threads of one program would take the processors from the other; huge pages as the trainer has them. */
export const peerEnvironment = {
  OMP_WAIT_POLICY: 'passive',
  TOKENIZERS_PARALLELISM: 'false',
  GLIBC_TUNABLES: withHugePages({}).GLIBC_TUNABLES!,
  THP_MEM_ALLOC_ENABLE: '1',
};

/** Training has a process of its own with huge pages, answering has not. */
export const openOurs = (work: StepRow['work']): Worker =>
  new Worker(
    process.execPath,
    [new URL('./ours.js', import.meta.url).pathname],
    work === 'step' ? withHugePages() : process.env,
  );
export const openPeer = ({ python }: Settings): Worker =>
  new Worker(python, [script('peer.py')], peerEnvironment);

export interface BuiltRun {
  readonly run: string;
  readonly manifest: Manifest;
}

/** Random weights of a preset, written once and shared by all its rows. */
export function sharedWeights(preset: string, folder: string): string {
  const run = join(folder, `weights-${preset}`);
  if (!existsSync(run)) emitVariant({ preset, weights: 'random', variant: 'lora-r8' }, run, false);
  return weightsPath(run, readManifest(run));
}

/** The run of a row, built anew. */
export async function buildRun(row: PeerRow, { folder }: Settings): Promise<BuiltRun> {
  const { preset, variant, placement, frozenCompute } = row;
  const run = join(folder, 'run');
  const options = {
    ...{ preset, variant, weights: sharedWeights(preset, folder) },
    ...(variant !== 'full' && { placement }),
  };
  // random weights have no sensitive layers to look for
  const chosen = frozenCompute ? await withFrozenCompute(options, frozenCompute, 'none') : options;
  return { run, manifest: emitVariant(chosen, run, true) };
}

/** Sizes as the golden files' BLIP takes them. */
export const blipSizes = ({ config }: Manifest) => ({
  hidden_size: config.hidden,
  num_attention_heads: config.textHeads,
  intermediate_size: config.intermediate,
  num_hidden_layers: config.textLayers,
  num_vision_layers: config.visionLayers,
  num_vision_heads: config.visionHeads,
  image_size: config.imageSize,
  patch_size: config.patchSize,
  vocab_size: config.vocab,
  max_position_embeddings: config.maxPositions,
  sep_token_id: 102,
  dec_token_id: 30522,
  enc_token_id: 30523,
});

/** What the peer is told of a row's model. */
export const peerModel = ({ variant, placement }: PeerRow, { run, manifest }: BuiltRun) => ({
  ...{ sizes: blipSizes(manifest), variant, placement, weights: weightsPath(run, manifest) },
  dropout: manifest.dropout.rate,
});
