/** @file Tensors in several safetensors files, each below a limit: browsers hold no buffer of more than 2 GB. */
import { join } from 'node:path';
import type { ExternalTensor } from '../../graph-builder/onnx/write.js';
import { sha256 } from './pretrained.js';
import { safetensorsBytes } from './safetensors.js';
import { type LazyTensor, withSafetensors, writeSafetensors } from './safetensors-file.js';

/** Below 1 GB, header included. */
export const SHARD_BYTES = 9e8;

export interface Shard {
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
}

const bytesOf = ({ dtype, shape }: LazyTensor): number =>
  shape.reduce((p, n) => p * n, safetensorsBytes[dtype]);

/** Tensors in their order, in as few groups below the limit as the order allows; a larger tensor is alone. */
function groups(tensors: ReadonlyMap<string, LazyTensor>, limit: number): Map<string, LazyTensor>[] {
  const found: Map<string, LazyTensor>[] = [];
  let room = 0;
  for (const [name, tensor] of tensors) {
    const bytes = bytesOf(tensor);
    if (bytes > room) {
      found.push(new Map());
      room = limit;
    }
    found.at(-1)!.set(name, tensor);
    room -= bytes;
  }
  return found;
}

/** Writes `weights.safetensors`, or `weights-1.safetensors` and so on; where each tensor lies. */
export function writeShards(
  folder: string,
  tensors: ReadonlyMap<string, LazyTensor>,
  limit = SHARD_BYTES,
): { readonly shards: readonly Shard[]; readonly located: ReadonlyMap<string, ExternalTensor> } {
  const parts = groups(tensors, limit);
  const located = new Map<string, ExternalTensor>();
  const shards = parts.map((part, i): Shard => {
    const file = parts.length === 1 ? 'weights.safetensors' : `weights-${i + 1}.safetensors`;
    const path = join(folder, file);
    writeSafetensors(path, part, { format: 'pt' });
    const bytes = withSafetensors(path, ({ header }) => {
      for (const [name, { offset, length }] of header.tensors)
        located.set(name, { location: file, offset, length });
      return Math.max(...[...header.tensors.values()].map((t) => t.offset + t.length));
    });
    return { file, sha256: sha256(path), bytes };
  });
  return { shards, located };
}
