/** @file A folder with a DICOM series: the file of one slice. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type FrameChoice, frameIndex } from '../../datasets/images/dicom/frames.js';
import { inSliceOrder, slicePlace } from '../../datasets/images/dicom/series.js';
import { FileError } from '../../graph-builder/errors.js';

/**
 * The file of a folder that `choice` asks for, slices in the order of their positions; undefined for what is no
 * folder.
 *
 * @throws {FileError} when no slice is chosen: which one shows what is asked about, only the user knows; or when the
 * folder has no DICOM image, or those of several series.
 */
export function sliceOfFolder(path: string, choice: FrameChoice | undefined): string | undefined {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  if (choice === undefined)
    throw new FileError(
      'this is a folder',
      path,
      'give one image, or say which slice: --frame first, middle or 12',
    );
  const files = readdirSync(path).sort();
  const places = files.flatMap((name) => {
    const file = join(path, name);
    const place = statSync(file).isFile() ? slicePlace(readFileSync(file)) : undefined;
    return place ? [{ ...place, file }] : [];
  });
  if (places.length === 0) throw new FileError('the folder has no DICOM image', path, 'give another one');
  const series = new Set(places.map((place) => place.series)).size;
  if (series > 1)
    throw new FileError(`the folder has images of ${series} series`, path, 'give a folder with one series');
  return inSliceOrder(places)[frameIndex(choice, places.length, path)]!.file;
}
