/** @file The operations of pickle protocols 0 to 5. Source: Python's Lib/pickletools.py (documentation of the opcodes). */
import {
  PickleDType,
  PickleGlobal,
  type PickleMachine,
  PickleTuple,
  type PickleValue,
} from './pickle-machine.js';

type Run = (m: PickleMachine) => void;

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A two's complement little-endian number of any length. */
function long(m: PickleMachine, bytes: Uint8Array): number | bigint {
  // 1 kB is a number of 2,400 digits: none of weights
  if (bytes.length > 1024) throw m.refuse(`has a number of ${bytes.length} bytes`);
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  const signed = BigInt.asIntN(8 * bytes.length, value);
  const plain = Number(signed);
  return Number.isSafeInteger(plain) ? plain : signed;
}

function decimal(m: PickleMachine, text: string): number | bigint | boolean {
  if (text === '01' || text === '00') return text === '01';
  if (!/^-?\d{1,400}L?$/.test(text)) throw m.fail('a number is none');
  const value = BigInt(text.replace('L', ''));
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** The list, dict or set under a value that an operation changes. */
function container<T>(m: PickleMachine, type: abstract new (...args: never[]) => T, what: string): T {
  const value = m.top();
  if (value instanceof type) return value;
  throw m.fail(`${what} is expected`);
}

function fill(m: PickleMachine, map: Map<PickleValue, PickleValue>, items: readonly PickleValue[]): void {
  if (items.length % 2 !== 0) throw m.fail('a key has no value');
  for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
}

function setItems(m: PickleMachine, items: readonly PickleValue[]): void {
  fill(m, container(m, Map<PickleValue, PickleValue>, 'a dict'), items);
}

/** push(all of `items`) would overflow the call stack at 100,000 of them. */
function append(m: PickleMachine, items: readonly PickleValue[]): void {
  const list = container(m, Array<PickleValue>, 'a list');
  for (const item of items) list.push(item);
}

function recall(m: PickleMachine, index: number): void {
  if (!m.memo.has(index)) throw m.fail(`nothing was kept under ${index}`);
  m.push(m.memo.get(index));
}

const nameOf = (value: PickleValue): string =>
  value instanceof PickleGlobal ? value.name : 'something that is no name';

function reduce(m: PickleMachine): void {
  const args = m.pop();
  const callee = m.pop();
  if (!(callee instanceof PickleGlobal && callee.call)) throw m.refuse(`calls ${nameOf(callee)}`);
  if (!(args instanceof PickleTuple)) throw m.fail('arguments are no tuple');
  const value = callee.call(args.items);
  if (value === undefined) throw m.fail(`${callee.name} has other arguments`);
  m.push(value);
}

/** State of an OrderedDict (a state dict's `_metadata`) says nothing about the weights; no other object takes any. */
function build(m: PickleMachine): void {
  const state = m.pop();
  const object = m.top();
  if (object instanceof Map && state instanceof Map) return;
  if (object instanceof PickleDType && object.setState(state)) return;
  throw m.refuse('sets the state of an object');
}

const refuse =
  (what: string): Run =>
  (m) => {
    throw m.refuse(what);
  };

/** Builds an object of the class that `classOf` finds on the stack. */
const refuseClass =
  (classOf: (m: PickleMachine) => PickleValue): Run =>
  (m) => {
    throw m.refuse(`makes an object of ${nameOf(classOf(m))}`);
  };

const tuple = (count: number): Run => {
  return (m) => {
    const items = Array.from({ length: count }, () => m.pop());
    m.push(new PickleTuple(items.reverse()));
  };
};

const push =
  (value: (m: PickleMachine) => PickleValue): Run =>
  (m) =>
    m.push(value(m));

const quoted = (m: PickleMachine): string => {
  const text = m.line();
  if (!/^(['"]).*\1$/.test(text)) throw m.fail('a text has no quotes');
  return text.slice(1, -1);
};

const values: Readonly<Record<string, Run>> = {
  N: push(() => null),
  '\x88': push(() => true),
  '\x89': push(() => false),
  I: push((m) => decimal(m, m.line())),
  L: push((m) => decimal(m, m.line())),
  J: push((m) => m.int32()),
  K: push((m) => m.unsigned(1)),
  M: push((m) => m.unsigned(2)),
  '\x8a': push((m) => long(m, m.take(m.unsigned(1)))),
  '\x8b': push((m) => long(m, m.take(m.int32()))),
  F: push((m) => Number(m.line())),
  G: push((m) => m.float64()),
  S: push(quoted),
  T: push((m) => latin1(m.take(m.int32()))),
  U: push((m) => latin1(m.take(m.unsigned(1)))),
  V: push((m) => m.line()),
  X: push((m) => utf8(m.take(m.unsigned(4)))),
  '\x8c': push((m) => utf8(m.take(m.unsigned(1)))),
  '\x8d': push((m) => utf8(m.take(m.unsigned(8)))),
  B: push((m) => m.take(m.unsigned(4))),
  C: push((m) => m.take(m.unsigned(1))),
  '\x8e': push((m) => m.take(m.unsigned(8))),
  '\x96': push((m) => m.take(m.unsigned(8))),
  ']': push(() => []),
  ')': push(() => new PickleTuple([])),
  '}': push(() => new Map()),
  '\x8f': push(() => new Set()),
  t: push((m) => new PickleTuple(m.popMark())),
  '\x85': tuple(1),
  '\x86': tuple(2),
  '\x87': tuple(3),
  l: push((m) => m.popMark()),
  d: push((m) => {
    const map = new Map();
    fill(m, map, m.popMark());
    return map;
  }),
  '\x91': push((m) => new Set(m.popMark())),
};

const changes: Readonly<Record<string, Run>> = {
  a: (m) => append(m, [m.pop()]),
  e: (m) => append(m, m.popMark()),
  s: (m) => setItems(m, [m.pop(), m.pop()].reverse()),
  u: (m) => setItems(m, m.popMark()),
  '\x90': (m) => {
    const items = m.popMark();
    const set = container(m, Set<PickleValue>, 'a set');
    for (const item of items) set.add(item);
  },
};

const machinery: Readonly<Record<string, Run>> = {
  '\x80': (m) => {
    const protocol = m.unsigned(1);
    if (protocol > 5) throw m.fail(`protocol ${protocol}`);
  },
  '\x95': (m) => void m.take(8),
  '(': (m) => m.mark(),
  '0': (m) => void m.pop(),
  '1': (m) => void m.popMark(),
  '2': (m) => m.push(m.top()),
  p: (m) => void m.memo.set(Number(m.line()), m.top()),
  q: (m) => void m.memo.set(m.unsigned(1), m.top()),
  r: (m) => void m.memo.set(m.unsigned(4), m.top()),
  '\x94': (m) => void m.memo.set(m.memo.size, m.top()),
  g: (m) => recall(m, Number(m.line())),
  h: (m) => recall(m, m.unsigned(1)),
  j: (m) => recall(m, m.unsigned(4)),
};

/** Where code would run in Python. */
const calls: Readonly<Record<string, Run>> = {
  c: push((m) => m.global(m.line(), m.line())),
  '\x93': (m) => {
    const name = m.pop();
    m.push(m.global(m.pop(), name));
  },
  R: reduce,
  b: build,
  i: (m) => {
    throw m.refuse(`makes an object of ${m.line()}.${m.line()}`);
  },
  o: refuseClass((m) => m.popMark()[0]),
  '\x81': refuseClass((m) => [m.pop(), m.pop()][1]),
  '\x92': refuseClass((m) => [m.pop(), m.pop(), m.pop()][2]),
  P: push((m) => m.rules.persistent(m.line())),
  Q: push((m) => m.rules.persistent(m.pop())),
  '\x82': refuse('asks for a registered extension'),
  '\x83': refuse('asks for a registered extension'),
  '\x84': refuse('asks for a registered extension'),
  '\x97': refuse('asks for a buffer outside the file'),
  '\x98': refuse('asks for a buffer outside the file'),
};

export const opcodes: ReadonlyMap<number, Run> = new Map(
  [values, changes, machinery, calls].flatMap((table) =>
    Object.entries(table).map(([code, run]) => [code.charCodeAt(0), run] as const),
  ),
);
