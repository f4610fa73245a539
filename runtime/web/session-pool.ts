/** @file Sessions by what they compute: adapters on the same sites of the same base share them. */
import type { GraphRole, Manifest } from '../../training-artifacts/graphs/manifest.js';
import type { Session } from '../core/session.js';
import { openSession, type WebDevice } from './ort.js';

export interface GraphRequest {
  readonly manifest: Manifest;
  readonly role: GraphRole;
  readonly device: WebDevice;
  readonly threads: number;
  /** read only if no open session will do */
  readonly graph: () => Promise<Uint8Array>;
  /** by file name */
  readonly weights: () => Promise<ReadonlyMap<string, Blob>>;
}

interface Shared {
  readonly session: Promise<Session>;
  users: number;
}

/** Bytes of weights from which they are not packed a second time. */
const LARGE = 4e8;

const open = new Map<string, Shared>();

/** A session that others may use, too; its `release` ends it when the last of them has released it. */
export async function sharedSession(request: GraphRequest): Promise<Session> {
  const { manifest, role, device, threads } = request;
  const key = [manifest.graphs[role]?.sha256, manifest.weights.sha256, device, threads].join(' ');
  let shared = open.get(key);
  if (!shared) {
    shared = { session: openFor(request), users: 0 };
    open.set(key, shared);
  }
  shared.users += 1;
  const release = async () => {
    shared.users -= 1;
    if (shared.users > 0) return;
    if (open.get(key) === shared) open.delete(key);
    await (await shared.session).release();
  };
  try {
    return { ...(await shared.session), release };
  } catch (error) {
    if (open.get(key) === shared) open.delete(key);
    throw error;
  }
}

const openFor = async ({ graph, weights, device, threads }: GraphRequest): Promise<Session> =>
  openOver(await graph(), await weights(), { device, threads });

/** A session of its own over some weight files. */
export async function openOver(
  bytes: Uint8Array,
  weights: ReadonlyMap<string, Blob>,
  { device, threads }: { readonly device: WebDevice; readonly threads: number },
): Promise<Session> {
  const files = [...weights];
  const size = files.reduce((n, [, { size }]) => n + size, 0);
  return openSession(bytes, {
    device,
    threads,
    // packed copies of large weights would not fit into WebAssembly's 4 GB
    prepacking: size < LARGE,
    externalData: files.map(([path, data]) => ({ path, data })),
  });
}
