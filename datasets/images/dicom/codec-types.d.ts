/** Types of the codecs that have none. */
interface WasmDecoder {
  /** where the compressed bytes go */
  getEncodedBuffer(length: number): Uint8Array;
  getDecodedBuffer(): Uint8Array;
  decode(): void;
  getFrameInfo(): {
    readonly width: number;
    readonly height: number;
    readonly bitsPerSample: number;
    readonly componentCount: number;
    readonly isSigned?: boolean;
  };
  /** of JPEG-LS: 0 = one plane after the other */
  getInterleaveMode?(): number;
  delete(): void;
}

type WasmModule = Readonly<Record<string, new () => WasmDecoder>>;
type LoadWasm = (options: {
  readonly locateFile?: (file: string, folder: string) => string;
  readonly print?: (text: string) => void;
  readonly printErr?: (text: string) => void;
}) => Promise<WasmModule>;

declare module '@cornerstonejs/codec-charls/decodewasmjs' {
  const load: LoadWasm;
  export default load;
}
declare module '@cornerstonejs/codec-openjpeg/decodewasmjs' {
  const load: LoadWasm;
  export default load;
}
declare module '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs' {
  const load: LoadWasm;
  export default load;
}

declare module 'jpeg-lossless-decoder-js' {
  interface Frame {
    readonly dimX: number;
    readonly dimY: number;
    readonly precision: number;
    readonly numComp: number;
  }
  const jpeg: {
    readonly lossless: {
      readonly Decoder: new () => {
        readonly frame: Frame;
        decode(buffer: ArrayBuffer, offset: number, length: number): Uint8Array | Uint16Array;
      };
    };
  };
  export default jpeg;
}
