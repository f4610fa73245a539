/** @file Reads the images of a data set once for what checks need: size, hash of the bytes, fingerprint. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ImageFact, ImageFacts } from '../../datasets/check/image-facts.js';
import type { Dataset } from '../../datasets/dataset.js';
import { fingerprint } from '../../datasets/images/perceptual-hash.js';
import { UserError } from '../../graph-builder/errors.js';
import { decodeImage } from './decode-image.js';

/** How many images are decoded at once: sharp has threads of its own. */
const AT_ONCE = 4;

async function factOf(path: string): Promise<ImageFact> {
  const bytes = await readFile(path);
  const notes: string[] = [];
  const image = await decodeImage(bytes, { onNote: (note) => notes.push(note) });
  return {
    width: image.width,
    height: image.height,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    print: fingerprint(image),
    ...(notes.length > 0 && { notes }),
  };
}

/** What is wrong, in a line, without the path: names may say more than they should. */
function reasonOf(error: unknown): string {
  if (error instanceof UserError) return error.what;
  const { code } = error as NodeJS.ErrnoException;
  if (code) return `cannot be read (${code})`;
  throw error;
}

/** Facts of each image, in the order of the ids; images that cannot be read are listed apart. */
export async function readImageFacts(
  dataset: Dataset,
  imageIds: readonly string[],
  onImage: (done: number, total: number) => void = () => {},
): Promise<ImageFacts> {
  const found: (ImageFact | string)[] = [];
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    while (next < imageIds.length) {
      const i = next++;
      try {
        found[i] = await factOf(dataset.imagePath(imageIds[i]!));
      } catch (error) {
        found[i] = reasonOf(error);
      }
      onImage(++done, imageIds.length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const images = new Map<string, ImageFact>();
  const unreadable: { imageId: string; reason: string }[] = [];
  for (const [i, fact] of found.entries()) {
    if (typeof fact === 'string') unreadable.push({ imageId: imageIds[i]!, reason: fact });
    else images.set(imageIds[i]!, fact);
  }
  return { images, unreadable };
}
