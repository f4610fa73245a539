/** @file What a JPEG stream says of itself, and telling it what its DICOM file says. */

const APP14 = 0xee;
/** Identifier, version, flags, and the transform: 0 = the components are red, green and blue. */
const RGB_MARKER = [0xff, APP14, 0, 14, 0x41, 0x64, 0x6f, 0x62, 0x65, 0, 100, 0, 0, 0, 0, 0];

interface JpegFacts {
  /** bits of a sample; undefined: there is no frame header */
  readonly bits: number | undefined;
  /** a JFIF or Adobe marker says what the components are */
  readonly saysColours: boolean;
}

/** Reads markers up to the frame header. */
export function jpegFacts(jpeg: Uint8Array): JpegFacts {
  let saysColours = false;
  for (let at = 2; at + 4 < jpeg.length && jpeg[at] === 0xff; ) {
    const marker = jpeg[at + 1]!;
    if (marker >= 0xc0 && marker <= 0xc3) return { bits: jpeg[at + 4], saysColours };
    saysColours ||= marker === 0xe0 || marker === APP14;
    at += 2 + ((jpeg[at + 2]! << 8) | jpeg[at + 3]!);
  }
  return { bits: undefined, saysColours };
}

/** A stream that does not say what its colours are counts as Y Cb Cr: this one is told that they are RGB. */
export function markedAsRgb(jpeg: Uint8Array): Uint8Array {
  const told = new Uint8Array(jpeg.length + RGB_MARKER.length);
  told.set(jpeg.subarray(0, 2));
  told.set(RGB_MARKER, 2);
  told.set(jpeg.subarray(2), 2 + RGB_MARKER.length);
  return told;
}
