/** @file What is known of the image files of a data set, and which of them show the same. Pure. */
import { type Fingerprint, nearDuplicates } from '../images/perceptual-hash.js';

export interface ImageFact {
  readonly width: number;
  readonly height: number;
  /** of the file's bytes, in hex */
  readonly sha256: string;
  readonly print: Fingerprint;
  /** what the user should know of it, e.g. that its file says that names are in the pixels */
  readonly notes?: readonly string[];
}

export interface ImageFacts {
  readonly images: ReadonlyMap<string, ImageFact>;
  readonly unreadable: readonly { readonly imageId: string; readonly reason: string }[];
}

/** Sets that grow together. */
export class Groups {
  private readonly parents = new Map<string, string>();

  /** The name of the group of `item`: one of its members. */
  find(item: string): string {
    let root = item;
    for (let next = this.parents.get(root); next !== undefined; next = this.parents.get(root)) root = next;
    for (let at = item; at !== root; ) {
      const next = this.parents.get(at)!;
      this.parents.set(at, root); // shorter next time
      at = next;
    }
    return root;
  }

  join(a: string, b: string): void {
    const [rootA, rootB] = [this.find(a), this.find(b)];
    if (rootA !== rootB) this.parents.set(rootB, rootA);
  }
}

/** Images of equal bytes, one list a picture. */
export function byteCopies({ images }: ImageFacts): string[][] {
  const byHash = new Map<string, string[]>();
  for (const [id, { sha256 }] of images) byHash.set(sha256, [...(byHash.get(sha256) ?? []), id]);
  return [...byHash.values()].filter((ids) => ids.length > 1);
}

/** Pairs of images that show the same, also after encoding or scaling. */
export const pictureCopies = ({ images }: ImageFacts): [string, string][] =>
  nearDuplicates(new Map([...images].map(([id, { print }]) => [id, print])));
