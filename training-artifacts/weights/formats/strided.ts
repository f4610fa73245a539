/** @file Reads a view of numbers that lie elsewhere in another order: a transpose, a slice, a Fortran array. */
import { type ByteFile, PIECE } from './byte-file.js';

export interface Strided {
  readonly file: ByteFile;
  /** where the storage starts in the file */
  readonly start: number;
  /** bytes of an element: 1, 2, 4 or 8 */
  readonly width: number;
  /** in elements, as are `strides` */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Whether the numbers lie one after another in row-major order. Axes of length 1 may have any stride. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

const typed = {
  1: Uint8Array,
  2: Uint16Array,
  4: Uint32Array,
  8: BigUint64Array,
} as const;

/** Calls `use` with the storage offset of each row (the last axis), in row-major order. */
function forEachRow({ offset, shape, strides }: Strided, use: (at: number, row: number) => void): void {
  const outer = shape.slice(0, -1);
  const index = outer.map(() => 0);
  const rows = outer.reduce((p, n) => p * n, 1);
  let at = offset;
  for (let row = 0; row < rows; row++) {
    use(at, row);
    for (let axis = outer.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < outer[axis]!) break;
      at -= outer[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
}

/**
 * The view's bytes in row-major order. The storage is read once, in pieces; of them each row takes what lies in them.
 * One tensor is in memory.
 */
export function gather(view: Strided): Uint8Array<ArrayBuffer> {
  const { file, start, width, shape, strides, offset } = view;
  const count = shape.reduce((p, n) => p * n, 1);
  const bytes = new Uint8Array(count * width);
  if (count === 0) return bytes;
  const Numbers = typed[width as keyof typeof typed];
  const out = new Numbers(bytes.buffer);
  const length = shape.at(-1) ?? 1;
  const stride = strides.at(-1) ?? 0;
  const last = shape.reduce((at, n, axis) => at + (n - 1) * strides[axis]!, offset);
  let first = offset;
  for (const piece of file.pieces(start + offset * width, (last - offset + 1) * width)) {
    const numbers = new Numbers(piece.buffer, 0, piece.length / width);
    const end = first + numbers.length;
    forEachRow(view, (at, row) => {
      if (at >= end || at + (length - 1) * stride < first) return;
      // the part of the row that lies in this piece
      const from = at >= first || stride === 0 ? 0 : Math.ceil((first - at) / stride);
      for (let i = from; i < length && at + i * stride < end; i++) {
        out[row * length + i] = numbers[at + i * stride - first]!;
      }
    });
    first = end;
  }
  return bytes;
}

/** The same in pieces. */
export function* stridedPieces(view: Strided): Generator<Uint8Array<ArrayBuffer>> {
  const { file, start, width, offset, shape, strides } = view;
  if (isContiguous(shape, strides)) {
    const count = shape.reduce((p, n) => p * n, 1);
    yield* file.pieces(start + offset * width, count * width);
    return;
  }
  const whole = gather(view);
  for (let at = 0; at < whole.length; at += PIECE) yield whole.slice(at, at + PIECE);
}
