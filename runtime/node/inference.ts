/** @file Opens a run for answering. */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { type CheckpointName, trainedValues } from '../../training-artifacts/checkpoint/checkpoint.js';
import {
  type GraphRole,
  graphFiles,
  type Manifest,
  readManifest,
  weightsPath,
} from '../../training-artifacts/graphs/manifest.js';
import { weightFiles } from '../../training-artifacts/graphs/weight-files.js';
import { Answerer, type InferenceSessions } from '../core/answerer.js';
import { servedFeeds } from '../core/served-feeds.js';
import { type Feeds, float32, type Session } from '../core/session.js';
import { openSession } from './ort.js';

type Values = ReadonlyMap<string, { readonly shape: readonly number[]; readonly value: Float32Array }>;

/** Trained values of a run as its serving graphs take them. */
export function servingFeeds(values: Values, { variant, config }: Manifest): Feeds {
  const tensors = new Map([...values].map(([name, { shape, value }]) => [name, { shape, data: value }]));
  return servedFeeds(tensors, variant, config.textHeads);
}

interface GraphSettings {
  readonly threads?: number | null | undefined;
  /** see OpenOptions */
  readonly prepacking?: boolean;
}

export const openGraph = (
  run: string,
  manifest: Pick<Manifest, 'weights'>,
  role: GraphRole,
  { threads, prepacking = true }: GraphSettings = {},
): Promise<Session> =>
  openSession(join(run, graphFiles[role]), {
    weightsFolder: dirname(weightsPath(run, manifest)),
    prepacking,
    ...(threads && { threads }),
  });

export async function openInference(
  run: string,
  manifest: Manifest,
  threads?: number,
): Promise<InferenceSessions> {
  const open = (role: GraphRole) => openGraph(run, manifest, role, { threads });
  return {
    imageEncoder: await open('imageEncoder'),
    questionEncoder: await open('questionEncoder'),
    answerDecoder: await open('answerDecoder'),
  };
}

export interface OpenedRun {
  readonly manifest: Manifest;
  readonly answerer: Answerer;
  /** trained tensors in the form that training has */
  readonly trained: Feeds;
  /** hash of everything that decides the answers: frozen weights, trained tensors, sizes and image normalisation */
  fingerprint(): string;
}

function fingerprintOf(manifest: Manifest, values: Values): string {
  const { weights, variant, config, image, text, frozenCompute } = manifest;
  // 8-bit products give other answers
  const { form, modules, skipped = [] } = frozenCompute ?? {};
  const compute = form ? [form, modules, skipped.map(({ name }) => name)] : [];
  const files = weightFiles(weights).map(({ sha256 }) => sha256);
  const hash = createHash('sha256').update(
    JSON.stringify([...files, variant.modules, config, image, text, ...compute]),
  );
  for (const [name, { value }] of values) hash.update(name).update(value);
  return hash.digest('hex');
}

/** The fingerprint of {@link OpenedRun}, without opening a session. */
export function runFingerprint(run: string, checkpoint: CheckpointName | 'base' | 'auto'): string {
  const manifest = readManifest(run);
  return fingerprintOf(manifest, trainedValues(run, manifest, checkpoint));
}

/** A run with its best checkpoint (or the one named), ready to answer. */
export async function openRun(
  run: string,
  checkpoint: CheckpointName | 'base' | 'auto' = 'auto',
  threads?: number,
): Promise<OpenedRun> {
  const manifest = readManifest(run);
  const values = trainedValues(run, manifest, checkpoint);
  const sessions = await openInference(run, manifest, threads);
  const trained = [...values].map(([name, { shape, value }]) => [name, float32(value, shape)]);
  return {
    manifest,
    answerer: new Answerer(sessions, manifest.config, servingFeeds(values, manifest)),
    trained: Object.fromEntries(trained),
    fingerprint: () => fingerprintOf(manifest, values),
  };
}
