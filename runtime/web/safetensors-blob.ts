/** @file A safetensors file in memory or in the browser's storage: its header, and single tensors by offset. */
import { FileError } from '../../graph-builder/errors.js';
import {
  headerLength,
  layOut,
  parseHeader,
  type SafetensorsHeader,
} from '../../training-artifacts/weights/safetensors.js';
import type { NamedTensor } from '../core/trained-tensors.js';

const slice = async (blob: Blob, from: number, to: number) =>
  new Uint8Array(await blob.slice(from, to).arrayBuffer());

export class SafetensorsBlob {
  private constructor(
    private readonly blob: Blob,
    readonly name: string,
    readonly header: SafetensorsHeader,
  ) {}

  /** @throws {FileError} when the file is damaged or not safetensors. */
  static async open(blob: Blob, name: string): Promise<SafetensorsBlob> {
    const length = headerLength(await slice(blob, 0, 8), blob.size, name);
    return new SafetensorsBlob(blob, name, parseHeader(await slice(blob, 8, 8 + length), blob.size, name));
  }

  /** @throws {FileError} when there is no such float32 tensor. */
  async float32(name: string): Promise<NamedTensor> {
    const entry = this.header.tensors.get(name);
    if (entry?.dtype !== 'F32') {
      const what = entry ? `${name} is ${entry.dtype}, not F32` : `no tensor ${name}`;
      throw new FileError(what, this.name, 'check that the file belongs to this model');
    }
    const { offset, length, shape } = entry;
    return { shape, data: new Float32Array((await slice(this.blob, offset, offset + length)).buffer) };
  }

  async all(): Promise<Map<string, NamedTensor>> {
    const found = new Map<string, NamedTensor>();
    for (const name of this.header.tensors.keys()) found.set(name, await this.float32(name));
    return found;
  }
}

/** The bytes of a safetensors file of float32 tensors, in the given order. */
export function safetensorsBytes(
  tensors: ReadonlyMap<string, NamedTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const types = [...tensors].map(([name, { shape }]) => [name, { dtype: 'F32', shape }] as const);
  const { header } = layOut(types, metadata);
  const size = [...tensors.values()].reduce((n, { data }) => n + data.byteLength, header.length);
  const bytes = new Uint8Array(size);
  bytes.set(header);
  let at = header.length;
  for (const { data } of tensors.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}
