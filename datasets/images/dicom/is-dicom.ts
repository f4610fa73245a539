/** @file Whether bytes are a DICOM file, by their content. */

const isLetter = (byte: number | undefined) => byte !== undefined && byte >= 0x41 && byte <= 0x5a;

/** How the elements behind a missing header are written; undefined: they are none. */
export type BareForm = 'explicit' | 'implicit';

/** A file with the mark `DICM` behind its 128 free bytes (PS3.10, 7.1). */
export const hasPreamble = (bytes: Uint8Array): boolean =>
  bytes.length >= 132 && [0x44, 0x49, 0x43, 0x4d].every((byte, i) => bytes[128 + i] === byte);

/**
 * Files of old machines start with their first element at once. They count as DICOM if that is of group 0008 (or
 * 0002), little-endian, and has a value representation of two letters or a length that fits the file.
 */
export function bareForm(bytes: Uint8Array): BareForm | undefined {
  if (bytes.length < 16 || bytes[1] !== 0 || bytes[3] !== 0) return undefined;
  if (bytes[0] !== 0x08 && bytes[0] !== 0x02) return undefined;
  if (isLetter(bytes[4]) && isLetter(bytes[5])) return 'explicit';
  if (bytes[0] === 0x02) return undefined; // the meta header is always explicit
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  return length % 2 === 0 && length <= 64 && bytes[2]! <= 0x20 ? 'implicit' : undefined;
}

export const isDicom = (bytes: Uint8Array): boolean => hasPreamble(bytes) || bareForm(bytes) !== undefined;
