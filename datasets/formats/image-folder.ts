/** @file Which images are there: folders are listed once, not a file looked up a row. */
import { readdirSync } from 'node:fs';
import { join, posix } from 'node:path';

/** Endings that a table may leave out. */
const endings = ['.jpg', '.jpeg', '.png', '.tif', '.tiff', '.webp', '.dcm'] as const;

/** How many names decide between folders. */
const TRIED = 200;

export class ImageFolder {
  private readonly listings = new Map<string, Set<string>>();
  private readonly shortened = new Map<string, string>();

  constructor(readonly root: string) {}

  /** Whether the file is there, also with an ending that its name leaves out. */
  has(imageId: string): boolean {
    const folder = posix.dirname(imageId);
    const name = posix.basename(imageId);
    const names = this.list(folder);
    if (names.has(name)) return true;
    const ending = endings.find((e) => names.has(name + e));
    if (ending) this.shortened.set(imageId, imageId + ending);
    return ending !== undefined;
  }

  path(imageId: string): string {
    return join(this.root, this.shortened.get(imageId) ?? imageId);
  }

  private list(folder: string): Set<string> {
    let names = this.listings.get(folder);
    if (!names) {
      try {
        names = new Set(readdirSync(join(this.root, folder)));
      } catch {
        names = new Set(); // all its images are missing, and reported so
      }
      this.listings.set(folder, names);
    }
    return names;
  }
}

/** The folder of `roots` that holds most of the images; the first when equal. */
export function chooseImageFolder(roots: readonly string[], imageIds: Iterable<string>): ImageFolder {
  const tried: string[] = [];
  for (const id of imageIds) {
    if (tried.push(id) === TRIED) break;
  }
  const folders = roots.map((root) => new ImageFolder(root));
  const held = folders.map((folder) => tried.filter((id) => folder.has(id)).length);
  return folders[held.indexOf(Math.max(...held))]!;
}
