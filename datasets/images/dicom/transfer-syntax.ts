/** @file Transfer syntaxes: how the pixels of a file are compressed. */

export type Codec = 'native' | 'rle' | 'jpeg' | 'jpegLossless' | 'jpegLs' | 'jpeg2000';

export interface SyntaxForm {
  readonly codec: Codec;
  readonly bigEndian: boolean;
}

const PREFIX = '1.2.840.10008.1.2';
const form = (codec: Codec, bigEndian = false): SyntaxForm => ({ codec, bigEndian });

/** By what follows the common prefix. Source: PS3.6, table A-1. */
const forms: Readonly<Record<string, SyntaxForm>> = {
  '': form('native'), // implicit little endian
  '.1': form('native'),
  '.1.99': form('native'), // deflated
  '.2': form('native', true),
  '.5': form('rle'),
  '.4.50': form('jpeg'), // baseline
  '.4.51': form('jpeg'), // extended
  '.4.57': form('jpegLossless'),
  '.4.70': form('jpegLossless'), // first-order prediction
  '.4.80': form('jpegLs'),
  '.4.81': form('jpegLs'), // near-lossless
  '.4.90': form('jpeg2000'), // lossless
  '.4.91': form('jpeg2000'),
};

/** Undefined for what is not supported, e.g. video. */
export const codecOf = (uid: string): SyntaxForm | undefined =>
  uid.startsWith(PREFIX) ? forms[uid.slice(PREFIX.length)] : undefined;

/** A UID that may be shown: digits and points only. A file without one is implicit little endian. */
export function readableUid(uid: string | undefined): string {
  if (uid === undefined) return PREFIX;
  return /^[\d.]{1,64}$/.test(uid) ? uid : '(not a UID)';
}
