/** @file Weights that ONNX Runtime reads tensor by tensor: the file as a whole is never in memory. */

/** TypeScript's DOM library leaves out what only workers have. */
interface SyncReader {
  readAsArrayBuffer(blob: Blob): ArrayBuffer;
}
type SyncReaderClass = new () => SyncReader;

const syncReader = (): SyncReaderClass | undefined =>
  (globalThis as { FileReaderSync?: SyncReaderClass }).FileReaderSync;

/** The last error of a read: ONNX Runtime says only that one failed. */
export class ReadErrors {
  last: unknown;
}

/**
 * An array that holds nothing: its length is the file's, and each subarray is read when it is asked for.
 *
 * onnxruntime-web asks its external data for `byteLength` and `subarray` alone, one tensor of the graph after the
 * other, and copies each into WebAssembly's memory or to the graphics card. Given the file itself it would load all of
 * it for each session, whatever the graph names.
 */
export function lazyBytes(
  size: number,
  read: (from: number, to: number) => Uint8Array,
  errors: ReadErrors = new ReadErrors(),
): Uint8Array {
  const subarray = (from = 0, to = size): Uint8Array => {
    try {
      return read(from, to);
    } catch (error) {
      errors.last = error;
      throw error;
    }
  };
  return Object.defineProperties(new Uint8Array(0), {
    byteLength: { value: size },
    length: { value: size },
    subarray: { value: subarray },
  });
}

/** A file in the form that takes least memory here: windows cannot read a part at once and load the whole. */
export function leastMemory(data: Uint8Array | Blob, errors: ReadErrors): Uint8Array | Blob {
  const Reader = syncReader();
  if (!(data instanceof Blob) || !Reader) return data;
  const reader = new Reader();
  const read = (from: number, to: number) => new Uint8Array(reader.readAsArrayBuffer(data.slice(from, to)));
  return lazyBytes(data.size, read, errors);
}
