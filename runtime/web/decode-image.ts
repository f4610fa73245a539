/** @file Image files to 8-bit RGB in a browser: the same pixels as Node's decoder gives. */
import { isDicom } from '../../datasets/images/dicom/is-dicom.js';
import type { RgbImage } from '../../datasets/images/resize.js';
import { FileError } from '../../graph-builder/errors.js';
import { type DicomNotes, decodeDicomFile } from './decode-dicom.js';
import { decodeDeepGreyPng, isDeepGreyPng } from './deep-png.js';

interface Decoder {
  /** told by the content, never by the name */
  readonly accepts: (bytes: Uint8Array) => boolean;
  readonly decode: (
    bytes: Uint8Array<ArrayBuffer>,
    name: string,
    notes: DicomNotes,
  ) => Promise<RgbImage> | RgbImage;
}

const remedy = 'give an undamaged PNG, JPEG, WebP or DICOM image';

/** The first that accepts a file decodes it. */
const decoders: readonly Decoder[] = [
  { accepts: isDicom, decode: decodeDicomFile },
  { accepts: isDeepGreyPng, decode: decodeDeepGreyPng },
  { accepts: () => true, decode: decodeByBrowser },
];

/**
 * Decodes what the browser shows (PNG, JPEG, WebP, AVIF, GIF's first picture), grey PNGs of 16 bits, of which
 * browsers keep 8, and DICOM.
 *
 * EXIF orientation is applied, transparency lies on black, embedded colour profiles are converted to sRGB: as
 * Node's decoder does. 16-bit colour loses its lower bits, there as here.
 *
 * @throws {FileError} when the file is empty, damaged or no image.
 */
export async function decodeImage(file: Blob, notes: DicomNotes = {}): Promise<RgbImage> {
  const name = file instanceof File ? file.name : 'the image';
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.length === 0) throw new FileError('the image file is empty', name, remedy);
  return decoders.find(({ accepts }) => accepts(bytes))!.decode(bytes, name, notes);
}

async function decodeByBrowser(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<RgbImage> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes]), { imageOrientation: 'from-image' });
  } catch (cause) {
    throw new FileError('the browser cannot decode this file as an image', name, remedy, { cause });
  }
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  // read back once: a canvas on the graphics card would be slower and rounds colours
  const context = canvas.getContext('2d', { willReadFrequently: true, alpha: false })!;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { data: withoutAlpha(context.getImageData(0, 0, width, height).data), width, height };
}

/** RGBA → RGB */
function withoutAlpha(rgba: Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from]!;
    rgb[to + 1] = rgba[from + 1]!;
    rgb[to + 2] = rgba[from + 2]!;
  }
  return rgb;
}
