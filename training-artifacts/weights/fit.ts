/** @file One parameter of the model from tensors of a file: as it is, put together, resized, or with rows added. */
import { FileError } from '../../graph-builder/errors.js';
import type { Parameter } from '../../graph-builder/ir/types.js';
import { resizeGrid } from './bicubic.js';
import { floatPieces } from './convert.js';
import { countOf, printable, type SourceTensor } from './formats/source.js';
import { initialValues } from './initialise.js';

export interface Fitted {
  readonly kind: 'mapped' | 'resized';
  /** what was changed */
  readonly note?: string;
  readonly pieces: () => Iterable<Float32Array<ArrayBuffer>>;
}

/** Tensors of one file for one parameter. */
export interface FitSource {
  readonly file: string;
  readonly tensors: readonly SourceTensor[];
  /** its row 0 is added to every row */
  readonly added?: SourceTensor | undefined;
  /** draws what has no origin */
  readonly seed: number;
}

const same = (a: readonly number[], b: readonly number[]): boolean => a.join() === b.join();

function wrongShape(target: Parameter, { file, tensors }: FitSource): FileError {
  const given = tensors.map(({ name, shape }) => `${printable(name)} [${shape}]`).join(', ');
  return new FileError(
    `${given} does not fit ${target.name} [${target.shape}]`,
    file,
    'choose the --preset, or the sizes (--hidden, --patch-size ...), that the file has; `inspect` shows them',
  );
}

/** Numbers of a tensor, of at most a bounded size: a table of positions. */
const MAX_TABLE = 2 ** 24;

function readTable(tensor: SourceTensor, file: string): Float32Array {
  const values = new Float32Array(countOf(tensor.shape));
  let at = 0;
  for (const piece of floatPieces(tensor, file)) {
    values.set(piece, at);
    at += piece.length;
  }
  return values;
}

/** Position embeddings [1, 1 + side², hidden], class token first, on the model's grid. */
function fitGrid(target: Parameter, source: FitSource): Fitted | undefined {
  const [tensor] = source.tensors as [SourceTensor];
  const [one, tokens = 0, width = 0] = tensor.shape;
  const [, wanted, hidden] = target.shape as readonly number[] as [number, number, number];
  const from = Math.sqrt(tokens - 1);
  const to = Math.sqrt(wanted - 1);
  if (tensor.shape.length !== 3 || one !== 1 || width !== hidden) return undefined;
  if (!Number.isInteger(from) || from < 1 || countOf(tensor.shape) > MAX_TABLE) return undefined;
  return {
    kind: 'resized',
    note: `${from} x ${from} patches to ${to} x ${to}, bicubic`,
    pieces: () => {
      const table = readTable(tensor, source.file);
      return [new Float32Array(table.slice(0, hidden)), resizeGrid(table.subarray(hidden), from, to, hidden)];
    },
  };
}

/** The rows of a table that the model has; initial ones where the table has fewer. */
function* rowsOf(
  target: Parameter,
  source: FitSource,
  extra: Float32Array,
): Generator<Float32Array<ArrayBuffer>> {
  const [tensor] = source.tensors as [SourceTensor];
  const [rows, width = 1] = target.shape as readonly number[] as [number, number?];
  const type = source.added && readTable(source.added, source.file).subarray(0, width);
  let left = rows * width;
  let column = 0;
  for (const piece of floatPieces(tensor, source.file)) {
    if (left === 0) break;
    const part = piece.slice(0, Math.min(piece.length, left));
    if (type) {
      for (let i = 0; i < part.length; i++) {
        part[i]! += type[column]!;
        column = column + 1 === width ? 0 : column + 1;
      }
    }
    left -= part.length;
    yield part;
  }
  if (left > 0) yield extra.slice(extra.length - left);
}

/** A table [rows, hidden] or [rows] with other rows. */
function fitRows(target: Parameter, source: FitSource, note: string): Fitted {
  const [tensor] = source.tensors as [SourceTensor];
  const missing = (target.shape[0] as number) - tensor.shape[0]!;
  const shape = [Math.max(0, missing), ...target.shape.slice(1)];
  return {
    kind: 'resized',
    note,
    pieces: () => rowsOf(target, source, initialValues({ ...target, shape }, source.seed)),
  };
}

/** Text positions: row 0 of the token types folded in, cut or lengthened. */
function fitPositions(target: Parameter, source: FitSource): Fitted | undefined {
  const [tensor] = source.tensors as [SourceTensor];
  const [rows, width] = tensor.shape;
  const [wanted, hidden] = target.shape as readonly number[] as [number, number];
  const { added } = source;
  if (tensor.shape.length !== 2 || width !== hidden || rows! < 1) return undefined;
  if (added && (added.shape.length !== 2 || added.shape[1] !== hidden || countOf(added.shape) > MAX_TABLE))
    return undefined;
  const notes = [
    added && 'token type 0 added',
    rows! > wanted && `the first ${wanted} of ${rows} rows`,
    rows! < wanted && `${wanted - rows!} of ${wanted} rows are initial values`,
  ].filter(Boolean);
  return fitRows(target, source, notes.join('; '));
}

/** The vocabulary without [DEC] and [ENC]. */
function fitWords(target: Parameter, source: FitSource): Fitted | undefined {
  const [tensor] = source.tensors as [SourceTensor];
  const missing = (target.shape[0] as number) - tensor.shape[0]!;
  if (missing !== 2 || !same(tensor.shape.slice(1), target.shape.slice(1) as number[])) return undefined;
  return fitRows(target, source, 'rows of [DEC] and [ENC] are initial values');
}

/** Query, key and value below one another. */
function fitParts(target: Parameter, source: FitSource): Fitted | undefined {
  const [rows, ...rest] = target.shape as readonly number[];
  const each = [rows! / source.tensors.length, ...rest];
  if (!source.tensors.every(({ shape }) => same(shape, each))) return undefined;
  function* pieces() {
    for (const tensor of source.tensors) yield* floatPieces(tensor, source.file);
  }
  return { kind: 'mapped', pieces };
}

/**
 * How a parameter is made from the tensors of a recipe; nothing is read yet.
 *
 * @throws {FileError} naming both when the shapes do not fit.
 */
export function fitParameter(target: Parameter, source: FitSource): Fitted {
  const { name, shape } = target;
  const [tensor] = source.tensors as [SourceTensor];
  const isPosition = name.endsWith('.position_embeddings.weight');
  if (source.tensors.length === 1 && same(tensor.shape, shape as number[]) && !source.added)
    return { kind: 'mapped', pieces: () => floatPieces(tensor, source.file) };
  let fitted: Fitted | undefined;
  if (source.tensors.length > 1) fitted = fitParts(target, source);
  else if (isPosition) fitted = fitPositions(target, source);
  else if (name === 'visual_encoder.pos_embed') fitted = fitGrid(target, source);
  else if (name.endsWith('.word_embeddings.weight') || name.endsWith('.cls.predictions.bias'))
    fitted = fitWords(target, source);
  if (fitted) return fitted;
  throw wrongShape(target, source);
}
