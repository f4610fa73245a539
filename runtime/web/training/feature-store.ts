/** @file Frozen features in the browser's private file system, one file a graph and base. */
import type { EntryPart, FeatureStore } from '../../core/features.js';
import { keptFolder, openSync, type SyncFile } from '../opfs.js';

const FOLDER = 'features';
/** key as 32 hexadecimal digits, then the number of bytes as uint32 */
const HEAD = 36;

/** In windows, without a private file system, or where another tab has the file, features are kept in memory. */
export class WebFeatureStore implements FeatureStore {
  private readonly places = new Map<string, { readonly at: number; readonly bytes: number }>();
  private readonly memory = new Map<string, Float32Array>();
  private end = 0;

  private constructor(private file: SyncFile | undefined) {}

  static async open(group: string): Promise<WebFeatureStore> {
    const folder = await keptFolder(FOLDER);
    const store = new WebFeatureStore(folder && (await openSync(folder, group).catch(() => undefined)));
    store.index();
    return store;
  }

  get isKept(): boolean {
    return this.file !== undefined;
  }

  read(key: string, length: number, parts: readonly EntryPart[]): boolean {
    const held = this.memory.get(key);
    if (held?.length === length) {
      for (const { from, target } of parts) target.set(held.subarray(from, from + target.length));
      return true;
    }
    const place = this.places.get(key);
    if (!place || place.bytes !== 4 * length) return false;
    for (const { from, target } of parts) {
      const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
      if (this.file!.read(bytes, { at: place.at + 4 * from }) !== bytes.length) return false;
    }
    return true;
  }

  write(key: string, numbers: Float32Array): void {
    const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
    if (!this.file || !this.append(key, bytes)) this.memory.set(key, numbers);
  }

  close(): void {
    this.file?.flush();
    this.file?.close();
    this.file = undefined;
    this.places.clear();
  }

  /** The head is written last: an entry that was cut short is none. */
  private append(key: string, bytes: Uint8Array): boolean {
    const head = new Uint8Array(HEAD);
    new TextEncoder().encodeInto(key, head);
    new DataView(head.buffer).setUint32(HEAD - 4, bytes.length, true);
    try {
      if (this.file!.write(bytes, { at: this.end + HEAD }) !== bytes.length) return false;
      if (this.file!.write(head, { at: this.end }) !== HEAD) return false;
    } catch {
      return false; // the storage is full
    }
    this.places.set(key, { at: this.end + HEAD, bytes: bytes.length });
    this.end += HEAD + bytes.length;
    return true;
  }

  private index(): void {
    const size = this.file?.getSize() ?? 0;
    const head = new Uint8Array(HEAD);
    while (this.end + HEAD <= size && this.file!.read(head, { at: this.end }) === HEAD) {
      const bytes = new DataView(head.buffer).getUint32(HEAD - 4, true);
      const key = new TextDecoder().decode(head.subarray(0, HEAD - 4));
      if (!/^[0-9a-f]{32}$/.test(key) || this.end + HEAD + bytes > size) break;
      this.places.set(key, { at: this.end + HEAD, bytes });
      this.end += HEAD + bytes;
    }
    this.file?.truncate(this.end);
  }
}
