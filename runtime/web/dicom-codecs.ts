/** @file Where Vite puts the WebAssembly files of the DICOM codecs; for pages that Vite builds. */
import jpegLs from '@cornerstonejs/codec-charls/decodewasm?url';
import jpeg from '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm?url';
import jpeg2000 from '@cornerstonejs/codec-openjpeg/decodewasm?url';

const urls: Readonly<Record<string, string>> = {
  'charlswasm_decode.wasm': jpegLs,
  'libjpegturbowasm_decode.wasm': jpeg,
  'openjpegwasm_decode.wasm': jpeg2000,
};

/** @example setDicomCodecs(locateCodec) */
export const locateCodec = (file: string): string => urls[file] ?? file;
