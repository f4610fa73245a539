/** @file The samples of one frame, whatever they are compressed with. */
import dicomParser from 'dicom-parser';
import { FileError } from '../../../graph-builder/errors.js';
import { type Decoded, decodeFrame, type LocateFile } from './codecs.js';
import { type DicomFile, type Layout, tags } from './header.js';
import { jpegFacts, markedAsRgb } from './jpeg-stream.js';
import type { Photometric } from './photometric.js';
import { decodeRle } from './rle.js';
import { damagedRemedy, refuse } from './values.js';

export type Samples = Uint8Array | Uint16Array | Int16Array | Uint32Array | Int32Array;

export interface Frame {
  /** one value a sample, sign-extended; [rows, columns, samples] or, `planar`, [samples, rows, columns] */
  readonly data: Samples;
  readonly planar: boolean;
  /** what the samples mean now: codecs turn some colours into RGB */
  readonly photometric: Photometric;
  /** bits of a sample */
  readonly bits: number;
}

/** Which frame: the first, the middle one (the earlier of two), or its number from 1 on. */
export type FrameChoice = 'first' | 'middle' | number;

/** @throws {FileError} for a number beyond the last. */
export function frameIndex(choice: FrameChoice, frames: number, where: string): number {
  if (choice === 'first') return 0;
  if (choice === 'middle') return (frames - 1) >> 1;
  if (Number.isInteger(choice) && choice >= 1 && choice <= frames) return choice - 1;
  throw new FileError(`there is no frame ${choice}: the file has ${frames}`, where, `choose 1 to ${frames}`);
}

const arrays = {
  8: [Uint8Array, Int8Array],
  16: [Uint16Array, Int16Array],
  32: [Uint32Array, Int32Array],
} as const;

/** Little-endian bytes, in memory of their own, as samples. */
function asSamples(bytes: Uint8Array, allocated: 8 | 16 | 32): Uint8Array | Uint16Array | Uint32Array {
  const Kind = arrays[allocated][0];
  return new Kind(bytes.buffer as ArrayBuffer, 0, bytes.length / (allocated / 8));
}

/** Takes the `bits` that count, `low` bits above the lowest, with their sign. */
function extract(
  raw: Uint8Array | Uint16Array | Uint32Array,
  bits: number,
  low: number,
  signed: boolean,
): Samples {
  const above = 32 - bits - low;
  const wide = signed
    ? new Int32Array(raw.length)
    : raw.BYTES_PER_ELEMENT === 4
      ? new Uint32Array(raw.length)
      : raw;
  const drop = above + low;
  for (let i = 0; i < raw.length; i++)
    wide[i] = signed ? (raw[i]! << above) >> drop : (raw[i]! << above) >>> drop;
  return wide;
}

/** Swaps the bytes of big-endian words of `size` bytes, in place. */
function swap(bytes: Uint8Array, size: number): void {
  for (let at = 0; at + size <= bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

/** Bytes of an uncompressed frame. 4:2:2 stores two pixels as Y Y Cb Cr. */
const nativeBytes = ({ rows, columns, samples, allocated, photometric }: Layout): number =>
  (rows * columns * (photometric === 'YBR_FULL_422' ? 2 : samples) * allocated) / 8;

/** @throws {FileError} unless Pixel Data have the length that rows, columns and frames make, padding aside. */
function checkLength({ pixels, layout, where, set }: DicomFile): void {
  const expected = nativeBytes(layout) * layout.frames;
  if (pixels.length < expected)
    refuse(tags.pixels, `has ${pixels.length} bytes, rows x columns x frames need ${expected}`, where);
  const rest = set.byteArray.subarray(pixels.dataOffset + expected, pixels.dataOffset + pixels.length);
  if (rest.some((byte) => byte !== 0) && rest.length > 1)
    refuse(tags.pixels, `has ${rest.length} bytes more than rows x columns x frames`, where);
}

/** Y Y Cb Cr → Y Cb Cr Y Cb Cr: two pixels share their colours. */
function expand422(bytes: Uint8Array): Uint8Array {
  const full = new Uint8Array((bytes.length / 4) * 6);
  for (let from = 0, to = 0; from < bytes.length; from += 4, to += 6) {
    const [y, y2, cb, cr] = bytes.subarray(from, from + 4) as unknown as [number, number, number, number];
    full.set([y, cb, cr, y2, cb, cr], to);
  }
  return full;
}

function nativeFrame(file: DicomFile, index: number): Frame {
  const { layout, pixels, set, syntax, where } = file;
  const { allocated, stored, high, signed, photometric, planar, columns } = layout;
  checkLength(file);
  const size = nativeBytes(layout);
  const from = pixels.dataOffset + index * size;
  // frames of big-endian 8-bit words may share a word
  const odd = syntax.bigEndian && allocated === 8 && pixels.vr === 'OW' ? (from - pixels.dataOffset) & 1 : 0;
  let bytes = Uint8Array.from(set.byteArray.subarray(from - odd, from + size + 1));
  if (syntax.bigEndian && (allocated > 8 || pixels.vr === 'OW')) swap(bytes, Math.max(2, allocated / 8));
  bytes = bytes.slice(odd, odd + size);
  if (photometric === 'YBR_FULL_422') {
    if (allocated !== 8 || columns % 2 === 1)
      refuse(tags.photometric, 'needs 8 bits and an even width', where);
    return { data: expand422(bytes), planar: false, photometric: 'YBR_FULL', bits: 8 };
  }
  const data = extract(asSamples(bytes, allocated), stored, high + 1 - stored, signed);
  return { data, planar, photometric, bits: stored };
}

/** The compressed bytes of a frame: one fragment or several. */
function encapsulated({ set, pixels, layout: { frames }, where }: DicomFile, index: number): Uint8Array {
  const fragments = pixels.fragments ?? [];
  try {
    const join = (from: number, count: number) =>
      dicomParser.readEncapsulatedPixelDataFromFragments(set, pixels, from, count);
    if (frames === 1) return join(0, fragments.length);
    if (fragments.length === frames) return join(index, 1);
    const own = pixels.basicOffsetTable ?? [];
    const offsets = own.length > 0 ? own : dicomParser.createJPEGBasicOffsetTable(set, pixels);
    return dicomParser.readEncapsulatedImageFrame(set, pixels, index, offsets);
  } catch {
    throw new FileError(`frame ${index + 1} of the DICOM file is missing or cut off`, where, damagedRemedy);
  }
}

const damaged = (file: DicomFile, what: string): FileError =>
  new FileError(`the DICOM file's compressed image ${what}`, file.where, damagedRemedy);

function rleFrame(file: DicomFile, index: number): Frame {
  const { rows, columns, samples, allocated, stored, high, signed, photometric } = file.layout;
  const bytes = decodeRle(encapsulated(file, index), rows * columns, samples, allocated / 8);
  if (!bytes) throw damaged(file, 'is damaged (RLE)');
  const data = extract(asSamples(bytes, allocated), stored, high + 1 - stored, signed);
  return { data, planar: true, photometric, bits: stored };
}

/** The colours that a codec returns, by what the file says that they were. */
function decodedPhotometric({ layout, syntax }: DicomFile): Photometric {
  const { photometric } = layout;
  if (syntax.codec === 'jpeg' && layout.samples === 3) return 'RGB';
  if (photometric === 'YBR_ICT' || photometric === 'YBR_RCT') return 'RGB';
  return photometric === 'YBR_FULL_422' ? 'YBR_FULL' : photometric;
}

/** A lossy JPEG stream that says what its colours are. */
function lossyStream(file: DicomFile, index: number): Uint8Array {
  const bytes = encapsulated(file, index);
  const { bits, saysColours } = jpegFacts(bytes);
  if (bits !== undefined && bits !== 8)
    throw new FileError(
      `lossy JPEG of ${bits} bits a sample is not supported`,
      file.where,
      'convert the file, e.g. with dcmdjpeg, or export the image as PNG',
    );
  return file.layout.photometric === 'RGB' && !saysColours ? markedAsRgb(bytes) : bytes;
}

async function codedFrame(file: DicomFile, index: number, locateFile?: LocateFile): Promise<Frame> {
  const { layout, syntax } = file;
  const codec = syntax.codec as Exclude<typeof syntax.codec, 'native' | 'rle'>;
  const bytes = codec === 'jpeg' ? lossyStream(file, index) : encapsulated(file, index);
  let decoded: Decoded;
  try {
    decoded = await decodeFrame(codec, bytes, locateFile);
  } catch {
    throw damaged(file, `cannot be decoded (${codec})`);
  }
  const { width, height, samples, bits, planar } = decoded;
  if (width !== layout.columns || height !== layout.rows || samples !== layout.samples)
    throw damaged(
      file,
      `has ${width} x ${height} x ${samples} samples, the header says ${layout.columns} x ${layout.rows} x ${layout.samples}`,
    );
  if (bits > layout.allocated || decoded.data.length < width * height * samples)
    throw damaged(file, `has other pixels than the header says (${bits} bits)`);
  const raw = decoded.data.subarray(0, width * height * samples);
  return { data: extract(raw, bits, 0, layout.signed), planar, photometric: decodedPhotometric(file), bits };
}

/** @throws {FileError} when the pixels are missing, cut off, damaged or not as the header says. */
export async function readFrame(file: DicomFile, index: number, locateFile?: LocateFile): Promise<Frame> {
  const { codec } = file.syntax;
  if (codec === 'native') return nativeFrame(file, index);
  return codec === 'rle' ? rleFrame(file, index) : codedFrame(file, index, locateFile);
}
