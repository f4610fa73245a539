/** @file Image files to 8-bit RGB. */
import { readFile } from 'node:fs/promises';
import sharp, { type Metadata } from 'sharp';
import { decodeDicom } from '../../datasets/images/dicom/decode.js';
import type { FrameChoice } from '../../datasets/images/dicom/frames.js';
import { isDicom } from '../../datasets/images/dicom/is-dicom.js';
import { type RgbImage, repeatGrey } from '../../datasets/images/resize.js';
import { FileError } from '../../graph-builder/errors.js';
import { sliceOfFolder } from './dicom-series.js';

const formats: readonly string[] = ['png', 'jpeg', 'webp', 'tiff'];
/** Bits a channel, in sharp's names. 1, 2 and 4 bits are read as 8. */
const depths: readonly string[] = ['uchar', 'ushort'];
const remedy = 'give an undamaged PNG, JPEG, WebP, TIFF or DICOM image';

export interface DecodeOptions {
  /** of a DICOM file with several frames, or the slice of a folder that holds a series; default: first */
  readonly frame?: FrameChoice;
  /** told what the user should know, e.g. that names may be in the pixels */
  readonly onNote?: (note: string) => void;
}

/**
 * Decodes PNG, JPEG, WebP, TIFF (first page) or DICOM as a viewer shows it, whatever the file is called.
 *
 * EXIF orientation is applied, transparency lies on black, CMYK and grey become sRGB. Grey images of 16 bits
 * are stretched, their darkest value to 0 and their brightest to 255: medical ones often use 12 of their
 * 16 bits and would be nearly black otherwise. 8-bit images and 16-bit colour are never stretched.
 *
 * Of DICOM files only the elements that rendering needs are read, see `decodeDicom`.
 *
 * @param source path of a file, or its content; with `frame`, also of a folder with a DICOM series.
 * @returns data uint8 [height, width, 3]
 * @throws {FileError} when the file is missing, empty, damaged or of another format.
 */
export async function decodeImage(
  source: string | Uint8Array,
  { frame, onNote = () => {} }: DecodeOptions = {},
): Promise<RgbImage> {
  const slice = typeof source === 'string' ? sliceOfFolder(source, frame) : undefined;
  const where = slice ?? (typeof source === 'string' ? source : 'image given as bytes');
  const bytes = typeof source === 'string' ? await readBytes(where) : source;
  if (bytes.length === 0) throw new FileError('the image file is empty', where, remedy);
  if (isDicom(bytes)) {
    const { image, warnings } = await decodeDicom(bytes, where, { ...(frame && !slice && { frame }) });
    for (const warning of warnings) onNote(warning);
    return image;
  }
  if (frame !== undefined && frame !== 'first' && !slice)
    throw new FileError('only DICOM files have frames', where, 'leave the frame out');
  try {
    const metadata = await sharp(bytes).metadata();
    if (!formats.includes(metadata.format)) {
      throw new FileError(`images of format ${metadata.format} are not supported`, where, remedy);
    }
    if (!depths.includes(metadata.depth)) {
      const what = `pixels of type ${metadata.depth} are not supported`;
      throw new FileError(what, where, 'save the image with 8 or 16 bits a channel');
    }
    return await (isDeepGrey(metadata) ? decodeDeepGrey(bytes) : decodeColour(bytes));
  } catch (error) {
    if (error instanceof FileError) throw error;
    const reason = (error as Error).message.trim();
    throw new FileError(`the image cannot be decoded: ${reason}`, where, remedy, { cause: error });
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? 'image file not found' : `the image file cannot be read (${code})`;
    throw new FileError(what, path, 'check the path', { cause: error });
  }
}

/** One channel, or one and transparency, of 16 bits. */
const isDeepGrey = ({ depth, channels }: Metadata) => depth === 'ushort' && channels <= 2;

async function decodeColour(bytes: Uint8Array): Promise<RgbImage> {
  const { data, info } = await sharp(bytes)
    .autoOrient()
    .flatten({ background: '#000' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return { data: info.channels === 1 ? repeatGrey(data) : data, width: info.width, height: info.height };
}

async function decodeDeepGrey(bytes: Uint8Array): Promise<RgbImage> {
  const { data, info } = await sharp(bytes)
    .autoOrient()
    .flatten({ background: '#000' })
    .toColourspace('grey16')
    .extractChannel(0)
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true });
  const values = new Uint16Array(data.buffer, data.byteOffset, info.width * info.height);
  let low = 65535;
  let high = 0;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  // A blank image has no range to stretch.
  const factor = high > low ? 255 / (high - low) : 0;
  const grey = Uint8Array.from(values, (value) => Math.round((value - low) * factor));
  return { data: repeatGrey(grey), width: info.width, height: info.height };
}
