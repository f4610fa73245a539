/** @file The compressed pixels of a DICOM file, by the codec that its transfer syntax names. */
import type { Codec } from './transfer-syntax.js';

/** Samples as a codec returns them: pixel after pixel, or one colour plane after the other. */
export interface Decoded {
  readonly data: Uint8Array | Uint16Array;
  readonly width: number;
  readonly height: number;
  readonly samples: number;
  /** bits of a sample */
  readonly bits: number;
  readonly planar: boolean;
}

/** Where a page finds the WebAssembly files; Node finds them beside the codecs. */
export type LocateFile = (file: string) => string;

type Wasm = Exclude<Codec, 'native' | 'rle' | 'jpegLossless'>;

const decoders: Readonly<Record<Wasm, string>> = {
  jpeg: 'JPEGDecoder',
  jpegLs: 'JpegLSDecoder',
  jpeg2000: 'J2KDecoder',
};

const imports = {
  jpeg: () => import('@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs'),
  jpegLs: () => import('@cornerstonejs/codec-charls/decodewasmjs'),
  jpeg2000: () => import('@cornerstonejs/codec-openjpeg/decodewasmjs'),
} satisfies Record<Wasm, unknown>;

/** Codecs in use; one that failed is dropped, as its memory may be in disorder. */
const loaded = new Map<Wasm, Promise<WasmModule>>();

function load(codec: Wasm, locateFile: LocateFile | undefined): Promise<WasmModule> {
  const quiet = () => {};
  const found =
    loaded.get(codec) ??
    imports[codec]().then((module) =>
      module.default({ ...(locateFile && { locateFile }), print: quiet, printErr: quiet }),
    );
  loaded.set(codec, found);
  return found;
}

/** Little-endian samples as numbers, in memory of their own. */
function samplesOf(bytes: Uint8Array, bits: number): Uint8Array | Uint16Array {
  const own = bytes.slice();
  return bits <= 8 ? own : new Uint16Array(own.buffer, 0, own.length >> 1);
}

async function decodeWasm(codec: Wasm, bytes: Uint8Array, locateFile?: LocateFile): Promise<Decoded> {
  const module = await load(codec, locateFile);
  try {
    const decoder = new module[decoders[codec]]!();
    decoder.getEncodedBuffer(bytes.length).set(bytes);
    decoder.decode();
    const { width, height, bitsPerSample: bits, componentCount: samples } = decoder.getFrameInfo();
    const planar = samples > 1 && decoder.getInterleaveMode?.() === 0;
    const data = samplesOf(decoder.getDecodedBuffer(), bits);
    decoder.delete();
    return { data, width, height, samples, bits, planar };
  } catch (error) {
    loaded.delete(codec);
    throw error;
  }
}

async function decodeLossless(bytes: Uint8Array): Promise<Decoded> {
  const { default: jpeg } = await import('jpeg-lossless-decoder-js');
  const decoder = new jpeg.lossless.Decoder();
  const own = bytes.slice();
  const data = decoder.decode(own.buffer, 0, own.length);
  const { dimX: width, dimY: height, precision: bits, numComp: samples } = decoder.frame;
  return { data, width, height, samples, bits, planar: false };
}

/**
 * Decodes one frame.
 *
 * Colours of lossy JPEG are returned as RGB, as are those of JPEG 2000 that its own transform changed.
 * @throws whatever the codec throws for damaged data: numbers, too
 */
export const decodeFrame = (
  codec: Exclude<Codec, 'native' | 'rle'>,
  bytes: Uint8Array,
  locateFile?: LocateFile,
): Promise<Decoded> =>
  codec === 'jpegLossless' ? decodeLossless(bytes) : decodeWasm(codec, bytes, locateFile);
