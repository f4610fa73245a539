/** @file Opens a run for answering. */
import { dirname, join } from 'node:path';
import { type CheckpointName, trainedValues } from '../../training-artifacts/checkpoint/checkpoint.js';
import {
  type GraphRole,
  graphFiles,
  type Manifest,
  readManifest,
  weightsPath,
} from '../../training-artifacts/graphs/manifest.js';
import { Answerer, type InferenceSessions } from '../core/answerer.js';
import type { Feeds, Session } from '../core/session.js';
import { servingFeeds as servedFeeds } from '../core/trained-tensors.js';
import { openSession } from './ort.js';

type Values = ReadonlyMap<string, { readonly shape: readonly number[]; readonly value: Float32Array }>;

/** Trained tensors as the serving graphs take them, e.g. with alpha/rank folded into lora_B. */
export function servingFeeds(values: Values, { variant, config }: Manifest): Feeds {
  const tensors = new Map([...values].map(([name, { shape, value }]) => [name, { shape, data: value }]));
  return servedFeeds(tensors, variant, config.textHeads);
}

export const openGraph = (
  run: string,
  manifest: Pick<Manifest, 'weights'>,
  role: GraphRole,
  threads?: number,
): Promise<Session> =>
  openSession(join(run, graphFiles[role]), {
    weightsFolder: dirname(weightsPath(run, manifest)),
    ...(threads && { threads }),
  });

export async function openInference(
  run: string,
  manifest: Manifest,
  threads?: number,
): Promise<InferenceSessions> {
  const open = (role: GraphRole) => openGraph(run, manifest, role, threads);
  return {
    imageEncoder: await open('imageEncoder'),
    questionEncoder: await open('questionEncoder'),
    answerDecoder: await open('answerDecoder'),
  };
}

export interface OpenedRun {
  readonly manifest: Manifest;
  readonly answerer: Answerer;
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
  return {
    manifest,
    answerer: new Answerer(sessions, manifest.config, servingFeeds(values, manifest)),
  };
}
