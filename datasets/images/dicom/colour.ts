/** @file Colours of a DICOM frame → RGB. Source: PS3.3, C.7.6.3.1. */
import type { Frame } from './frames.js';
import type { DicomFile } from './header.js';
import { refuse, type Source, short, type Tag } from './values.js';

const palette = ['Red', 'Green', 'Blue'].map((colour, i) => ({
  descriptor: { key: `x0028110${i + 1}`, name: `${colour} Palette Color Lookup Table Descriptor` },
  data: { key: `x0028120${i + 1}`, name: `${colour} Palette Color Lookup Table Data` },
}));

/** One colour of a palette, 8 bits an entry. */
function readPalette(file: DicomFile, source: Source, { descriptor, data }: { descriptor: Tag; data: Tag }) {
  const { where, set } = file;
  const count = short(source, descriptor) ?? refuse(descriptor, 'is missing', where);
  const first = short(source, descriptor, { at: 1, signed: file.layout.signed })!;
  const bits = short(source, descriptor, { at: 2 })!;
  const entries = count === 0 ? 65536 : count;
  const element = set.elements[data.key];
  if (!element) return refuse(data, 'is missing', where);
  if (bits !== 8 && bits !== 16) refuse(descriptor, 'is neither of 8 nor of 16 bits', where);
  // 8-bit entries lie two in a word, or each in one
  const packed = bits === 8 && element.length < 2 * entries;
  if (element.length < (packed ? entries : 2 * entries)) refuse(data, 'is cut off', where);
  const values = Uint8Array.from({ length: entries }, (_, i) => {
    if (packed) return set.byteArray[element.dataOffset + i]!;
    const word = set.uint16(data.key, i)!;
    return bits === 16 ? word >> 8 : word;
  });
  return { first, values };
}

/** Index → colour; beyond the ends the first or last one. */
function renderPalette(file: DicomFile, { data }: Frame): Uint8Array {
  const source = { where: file.where, sets: [file.set] };
  const rgb = new Uint8Array(3 * data.length);
  for (const [c, tags] of palette.entries()) {
    const { first, values } = readPalette(file, source, tags);
    for (let i = 0; i < data.length; i++)
      rgb[3 * i + c] = values[Math.min(Math.max(data[i]! - first, 0), values.length - 1)]!;
  }
  return rgb;
}

/** Y Cb Cr of full range → RGB, in place. */
function toRgb(pixels: Uint8Array): void {
  const byte = (value: number) => Math.min(Math.max(Math.floor(value + 0.5), 0), 255);
  for (let i = 0; i < pixels.length; i += 3) {
    const y = pixels[i]!;
    const cb = pixels[i + 1]! - 128;
    const cr = pixels[i + 2]! - 128;
    pixels[i] = byte(y + 1.402 * cr);
    pixels[i + 1] = byte(y - ((0.114 * 1.772) / 0.587) * cb - ((0.299 * 1.402) / 0.587) * cr);
    pixels[i + 2] = byte(y + 1.772 * cb);
  }
}

/** A frame with colours: uint8 [rows, columns, 3]. @throws {FileError} for a damaged palette. */
export function renderColour(file: DicomFile, frame: Frame): Uint8Array {
  const { data, planar, photometric, bits } = frame;
  if (photometric === 'PALETTE COLOR') return renderPalette(file, frame);
  const pixels = data.length / 3;
  const most = 2 ** bits - 1;
  const rgb = new Uint8Array(data.length);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) {
      const value = data[planar ? c * pixels + i : 3 * i + c]!;
      rgb[3 * i + c] = bits === 8 ? value : Math.floor((255 * value) / most + 0.5);
    }
  }
  if (photometric === 'YBR_FULL') toRgb(rgb);
  return rgb;
}
