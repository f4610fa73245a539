/** @file The machine that pickles are programs for: a stack with marks, and a memo. */
import { FileError } from '../../../graph-builder/errors.js';
import { printable } from './source.js';

/** Python values. Dicts and OrderedDicts are Maps; lists are arrays. */
export type PickleValue = unknown;

export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

/** A name that the allow-list has; `call` is what REDUCE does with it, undefined for arguments that do not fit. */
export class PickleGlobal {
  constructor(
    readonly name: string,
    readonly call?: (args: readonly PickleValue[]) => PickleValue,
  ) {}
}

/** A numpy dtype, of which a pickled scalar needs the type and the byte order. */
export class PickleDType {
  constructor(readonly code: string) {}

  /** (version, byte order, ...); false if it is none that can be read. */
  setState(state: PickleValue): boolean {
    return state instanceof PickleTuple && (state.items[1] === '<' || state.items[1] === '|');
  }
}

export interface PickleRules {
  readonly file: string;
  /** by `module.name` */
  readonly globals: ReadonlyMap<string, PickleGlobal>;
  /** what a persistent id stands for */
  readonly persistent: (id: PickleValue) => PickleValue;
}

/** The machine: a stack with marks, and a memo. Memory is bounded by the number of operations. */
export class PickleMachine {
  readonly stack: PickleValue[] = [];
  readonly memo = new Map<number, PickleValue>();
  private readonly marks: number[] = [];
  private readonly view: DataView;
  at = 0;

  constructor(
    readonly bytes: Uint8Array,
    readonly rules: PickleRules,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  fail(what: string): FileError {
    return new FileError(
      `the pickle is damaged at byte ${this.at}: ${what}`,
      this.rules.file,
      'copy or download the file again',
    );
  }

  /** For what a data file has no need of. Nothing was run. */
  refuse(what: string): FileError {
    return new FileError(
      `the pickle ${printable(what)}, which is refused; nothing of it was run`,
      this.rules.file,
      'if you trust the file: load it in Python and save model.state_dict() alone, best as safetensors',
    );
  }

  take(length: number): Uint8Array {
    if (!(length >= 0 && this.at + length <= this.bytes.length)) throw this.fail('it ends too early');
    const piece = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return piece;
  }

  /** A little-endian unsigned number of 1, 2, 4 or 8 bytes. */
  unsigned(width: 1 | 2 | 4 | 8): number {
    const at = this.at;
    this.take(width);
    if (width === 1) return this.view.getUint8(at);
    if (width === 2) return this.view.getUint16(at, true);
    if (width === 4) return this.view.getUint32(at, true);
    return Number(this.view.getBigUint64(at, true));
  }

  int32(): number {
    const at = this.at;
    this.take(4);
    return this.view.getInt32(at, true);
  }

  float64(): number {
    const at = this.at;
    this.take(8);
    return this.view.getFloat64(at, false);
  }

  line(): string {
    const end = this.bytes.indexOf(10, this.at);
    if (end < 0) throw this.fail('a line has no end');
    const text = new TextDecoder().decode(this.bytes.subarray(this.at, end));
    this.at = end + 1;
    return text;
  }

  push(value: PickleValue): void {
    this.stack.push(value);
  }

  pop(): PickleValue {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) throw this.fail('its stack is empty');
    return this.stack.pop();
  }

  top(): PickleValue {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) throw this.fail('its stack is empty');
    return this.stack.at(-1);
  }

  mark(): void {
    this.marks.push(this.stack.length);
  }

  /** Everything above the last mark. */
  popMark(): PickleValue[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw this.fail('a mark is missing');
    return this.stack.splice(mark);
  }

  global(module: unknown, name: unknown): PickleGlobal {
    if (typeof module !== 'string' || typeof name !== 'string') throw this.fail('a name is not a text');
    const found = this.rules.globals.get(`${module}.${name}`);
    if (!found) throw this.refuse(`asks for ${module}.${name}`);
    return found;
  }
}
