/** @file Files that want to run code, fill the memory or read elsewhere: each gives one clear error. */
import { existsSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import onnxProto from 'onnx-proto';
import { describe, expect, test } from 'vitest';
import { FileError } from '../../../graph-builder/errors.js';
import { emitImport } from '../../../training-artifacts/graphs/import-model.js';
import { withWeights } from '../../../training-artifacts/weights/formats/open-source.js';
import { inspectWeights } from '../../../training-artifacts/weights/inspect.js';
import { runProgram, temporaryFolder } from '../../runtime/node/runs.js';
import { file, latin1, npy, op, safetensors, torchLegacy, torchZip } from './crafting.js';
import { folder, path } from './support.js';

/** Reads every byte of a file. @returns the error's text; any other error than a FileError is a bug. */
async function refusal(path: string): Promise<string> {
  try {
    await withWeights(path, ({ tensors }) => {
      for (const tensor of tensors.values()) for (const _ of tensor.pieces());
    });
  } catch (error) {
    if (error instanceof FileError) return error.message;
    throw error;
  }
  return 'read without an error';
}

const marker = path('hacked');
const command = op.text(`touch ${marker}`);
const system = op.global('posix', 'system');
/** depth levels of a list that holds the one before twice: 2^depth leaves, no more bytes than levels */
const laughs = (depth: number): string =>
  `]q\x00${Array.from({ length: depth }, (_, i) => `](h${String.fromCharCode(i)}h${String.fromCharCode(i)}eq${String.fromCharCode(i + 1)}`).join('')}`;
const plain = op.tensor(op.storage('0', op.int(4)), op.int(0), [op.int(4)], [op.int(1)]);
const four = { '0': new Uint8Array(16) };

const pickles: readonly (readonly [string, string, RegExp])[] = [
  ['os.system by REDUCE', op.reduce(system, command), /asks for posix\.system/],
  ['os.system by STACK_GLOBAL', `${op.text('os')}${op.text('system')}\x93`, /asks for os\.system/],
  ['eval', op.reduce(op.global('builtins', 'eval'), command), /asks for builtins\.eval/],
  ['getattr', op.global('builtins', 'getattr'), /asks for builtins\.getattr/],
  ['a namespace', op.global('argparse', 'Namespace'), /asks for argparse\.Namespace/],
  ['a dotted name', op.global('torch', '_utils._rebuild_tensor_v2.__globals__'), /which is refused/],
  ['a prototype', op.global('', '__proto__'), /which is refused/],
  ['INST', `(${command}iposix\nsystem\n`, /makes an object of posix\.system/],
  ['OBJ', `(${op.global('collections', 'OrderedDict')}o`, /makes an object of collections\.OrderedDict/],
  ['NEWOBJ', `${op.global('torch', 'Size')})\x81`, /makes an object of torch\.Size/],
  ['NEWOBJ_EX', `${op.global('torch', 'Size')})}\x92`, /makes an object of torch\.Size/],
  ['BUILD of a tensor', `${plain}}b`, /sets the state of an object/],
  ['BUILD of a list', `]}b`, /sets the state of an object/],
  ['a call of a type', op.reduce(op.global('torch', 'FloatStorage')), /calls torch\.FloatStorage/],
  ['a call of a text', op.reduce(op.text('os.system'), command), /calls something that is no name/],
  ['wrong arguments', op.reduce(op.global('torch._utils', '_rebuild_tensor_v2')), /other arguments/],
  ['an encoding', op.reduce(op.global('_codecs', 'encode'), op.text('x'), op.text('hex')), /other arguments/],
  ['an extension', '\x82\x01', /asks for a registered extension/],
  ['a buffer', '\x97', /asks for a buffer outside the file/],
  ['a module as storage', `${op.tuple(op.text('module'))}Q`, /names a storage in an unknown way/],
  ['a text as storage', 'Pos.system\n', /names a storage in an unknown way/],
  ['a terminal escape', op.global('\x1b[31mos', 'system'), /asks for \?\[31mos\.system/],
  ['an unknown operation', '\xff', /unknown operation 0xff/],
  ['no mark', 't', /a mark is missing/],
  ['an empty stack', '0', /its stack is empty/],
  ['a text of 2^60 bytes', `\x8d${'\x00'.repeat(7)}\x10`, /it ends too early/],
  ['a number of 100 kB', `\x8b${'\x00\x90\x01\x00'}${'\x01'.repeat(0x19000)}`, /a number of 102400 bytes/],
  ['4 million operations', 'N0'.repeat(2 ** 21), /more than 1048576 operations/],
];

describe.each([
  ['zip', torchZip],
  ['legacy', torchLegacy],
] as const)('a pickle in the %s format', (format, make) => {
  test.each(pickles)('with %s', async (_name, body, message) => {
    expect(await refusal(file(`${format}.pth`, make(op.whole(body))))).toMatch(message);
    expect(existsSync(marker)).toBe(false);
  });

  test('with nested references, cycles and depth is read in time that its bytes justify', async () => {
    const cycle = '}q\x00Nh\x00s';
    const deep = ']'.repeat(100_000) + 'a'.repeat(99_999);
    for (const body of [laughs(200), cycle, deep]) {
      const start = performance.now();
      expect(await refusal(file(`${format}.pth`, make(op.whole(body))))).toBe('read without an error');
      expect(performance.now() - start).toBeLessThan(2000);
    }
  });
});

test('a pickle that is no file of PyTorch is refused by the name that it asks for', async () => {
  expect(await refusal(file('x.pkl', `cos\nsystem\n(S'touch ${marker}'\ntR.`))).toMatch(
    /asks for os\.system/,
  );
});

const tensorOf = (size: string, offset: number, shape: string[], strides: string[]) =>
  torchZip(op.whole(op.tensor(op.storage('0', size), op.int(offset), shape, strides)), four);
const huge = op.long(2n ** 40n);

test.each([
  ['beyond its storage', tensorOf(op.int(4), 1, [op.int(4)], [op.int(1)]), /reaches beyond its storage/],
  ['of 2^80 numbers', tensorOf(op.int(4), 0, [huge, huge], [op.int(0), op.int(0)]), /repeats the 4 numbers/],
  ['that overflows', tensorOf(op.int(4), 0, [huge, huge], [huge, huge]), /reaches beyond its storage/],
  ['with a negative stride', tensorOf(op.int(4), 3, [op.int(4)], [op.int(-1)]), /other arguments/],
  ['with a negative offset', tensorOf(op.int(4), -4, [op.int(4)], [op.int(1)]), /other arguments/],
  ['with a stride too few', tensorOf(op.int(4), 0, [op.int(4)], []), /\[4\] has 0 strides/],
  [
    'of a storage longer than the file',
    tensorOf(huge, 0, [huge], [op.int(1)]),
    /has 16 bytes, 4398046511104 are/,
  ],
])('a tensor %s', async (_name, bytes, message) => {
  expect(await refusal(file('tensor.pth', bytes))).toMatch(message);
});

test('a storage of two sizes', async () => {
  const other = op.tensor(op.storage('0', op.int(8)), op.int(0), [op.int(4)], [op.int(1)]);
  const bytes = torchZip(op.whole(op.dict({ a: plain, b: other })), four);
  expect(await refusal(file('two.pth', bytes))).toMatch(/storage 0 has two sizes/);
});

/** A zip file with a number in its central directory changed. */
function patched(bytes: Uint8Array, at: number, value: number, width: 2 | 4 = 4): Uint8Array {
  const copy = Buffer.from(bytes);
  const directory = copy.indexOf('PK\x01\x02', 0, 'latin1');
  if (width === 4) copy.writeUInt32LE(value, directory + at);
  else copy.writeUInt16LE(value, directory + at);
  return copy;
}

const deflated = zipSync({
  'a.npy': npy("{'descr': '<f4', 'fortran_order': False, 'shape': (250000,), }", new Uint8Array(1e6)),
});
const header = (shape: string, descr = '<f4') =>
  zipSync(
    {
      'a.npy': npy(`{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`, new Uint8Array(16)),
    },
    { level: 0 },
  );
const traversal = zipSync({ '../../m/data.pkl': latin1(op.whole('N')) }, { level: 0 });
const packed = zipSync({ 'm/data.pkl': latin1(op.whole('N'.repeat(1000))) });

test.each([
  ['traversal.pth', traversal, /zip file is damaged: invalid relative path/],
  ['packed.pth', packed, /the entry is compressed; PyTorch stores/],
  [
    'script.pth',
    torchZip(op.whole('N'), {}, { 'm/code/a.py': latin1('import os') }),
    /a TorchScript archive/,
  ],
  ['big-endian.pth', torchZip(op.whole('N'), {}, { 'm/byteorder': latin1('big') }), /big-endian/],
  ['missing.pth', torchZip(op.whole(plain)), /the entry m\/data\/0 is missing/],
  ['claims-more.npz', patched(deflated, 24, 0xfffffff0), /claims to hold 4294967280 bytes/],
  ['claims-less.npz', patched(deflated, 24, 5000), /holds more than the 5000 bytes that it claims/],
  ['outside.npz', patched(header('(4,)'), 20, 0x7fffffff), /zip file is damaged|lies outside the file/],
  ['encrypted.npz', patched(deflated, 8, 1, 2), /the entry is encrypted/],
  ['bzip2.npz', patched(header('(4,)'), 10, 12, 2), /compressed by method 12/],
  ['objects.npz', header('(2,)', '|O'), /arrays of type \|O are not read/],
  ['overflow.npz', header('(4294967296, 4294967296)'), /needs .* bytes, has 16/],
  ['not.npz', zipSync({ 'a.txt': latin1('x') }), /none of torch\.save or numpy\.savez/],
])('%s', async (name, bytes, message) => {
  expect(await refusal(file(name, bytes))).toMatch(message);
});

test('a deflated entry that holds more than it says is stopped at what it says', async () => {
  const many = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000,), }", new Uint8Array(2e7));
  const bytes = patched(zipSync({ 'a.npy': many }), 24, 4000 + many.length - 2e7);
  expect(await refusal(file('bomb.npz', bytes))).toMatch(/holds more than the \d+ bytes that it claims/);
});

const entry = (begin: number, end: number, shape: unknown = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

test.each([
  [
    'two names',
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
    /two tensors have the same name/,
  ],
  ['overlapping', { a: entry(0, 8), b: entry(4, 12) }, /overlaps another tensor/],
  ['negative', { a: entry(-4, 4) }, /no byte range/],
  ['backwards', { a: entry(8, 4, [1]) }, /needs 4 bytes, has -4/],
  ['beyond', { a: entry(0, 4096) }, /cut short/],
  ['absurd', { a: entry(0, 4, [2 ** 40, 2 ** 40]) }, /needs .* bytes, has 4/],
  ['not a number', { a: entry(0, 4, [2 ** 53 - 1, 2 ** 53 - 1, 0]) }, /needs .* bytes, has 4/],
  ['a fraction', { a: entry(0, 4, [0.5, 2]) }, /not a list of whole numbers/],
] as const)('safetensors: %s', async (_name, head, message) => {
  expect(await refusal(file('x.safetensors', safetensors(head, 64)))).toMatch(message);
});

/** A file of this size that takes no room on the disk. */
function sparse(name: string, start: string, size: number): string {
  const target = path(name);
  writeFileSync(target, latin1(start));
  truncateSync(target, size);
  return target;
}

test('sizes of a gigabyte are refused before they are read', async () => {
  const before = process.memoryUsage().rss;
  const GB = 2 ** 30;
  expect(await refusal(sparse('big.index.json', '{"weight_map":{', GB))).toMatch(
    /1073741824 bytes of JSON, more than/,
  );
  const header200 = `\x00\x00\x80\x0c\x00\x00\x00\x00{`;
  expect(await refusal(sparse('header.safetensors', header200, GB))).toMatch(/header of 209715200 bytes/);
  expect(await refusal(sparse('longer.safetensors', header200, 1000))).toMatch(
    /header of 209715200 bytes, file of 1000/,
  );
  expect(await refusal(sparse('zeros.pth', '\x80\x02', GB))).toMatch(/unknown operation 0x0/);
  expect(await refusal(sparse('zip.pth', 'PK\x03\x04', GB))).toMatch(/zip file is damaged/);
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
});

test('a manifest or configuration of a gigabyte is refused before it is read', async () => {
  const own = temporaryFolder();
  for (const name of ['manifest.json', 'adapter_config.json']) {
    const run = join(own, name.slice(0, 5));
    mkdirSync(run);
    writeFileSync(join(run, name), '{"format":');
    truncateSync(join(run, name), 2 ** 30);
    await expect(inspectWeights(run)).rejects.toThrow(/1073741824 bytes of JSON, more than/);
  }
});

test.each([
  ['../secret.safetensors', /is no file beside the index/],
  ['/etc/passwd', /is no file beside the index/],
  ['a/b.safetensors', /is no file beside the index/],
  ['..', /is no file beside the index/],
  ['.hidden', /is no file beside the index/],
  ['missing.safetensors', /cannot read \(ENOENT\)/],
])('an index that names %s', async (shard, message) => {
  const index = file('model.safetensors.index.json', JSON.stringify({ weight_map: { a: shard } }));
  expect(await refusal(index)).toMatch(message);
});

test('shards that name each other are refused', async () => {
  const name = 'loop.index.json';
  writeFileSync(path(name), JSON.stringify({ weight_map: { a: name } }));
  expect(await refusal(path(name))).toMatch(/an index cannot be a shard/);
});

/** An ONNX model of one Gemm whose weight lies elsewhere. */
function onnxWith(location: string, offset: string, dims = [4, 4]): string {
  const { ModelProto, TensorProto } = onnxProto.onnx;
  const info = (name: string) => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'rows' }, { dimValue: 4 }] } } },
  });
  const weight = {
    name: 'w',
    dataType: 1,
    dims,
    dataLocation: TensorProto.DataLocation.EXTERNAL,
    externalData: [
      { key: 'location', value: location },
      { key: 'offset', value: offset },
    ],
  };
  const model = ModelProto.create({
    irVersion: 8,
    opsetImport: [{ domain: '', version: 18 }],
    graph: {
      name: 'g',
      node: [{ opType: 'MatMul', input: ['x', 'w'], output: ['y'] }],
      initializer: [weight],
      input: [info('x')],
      output: [info('y')],
    },
  });
  const target = path(`external-${readdirSync(folder).length}.onnx`);
  writeFileSync(target, ModelProto.encode(model).finish());
  return target;
}

test.each([
  ['outside the folder', '../x.bin', '0', /external data of w is not there/],
  ['at an absolute path', '/etc/passwd', '0', /external data of w is not there/],
  ['beyond the end', 'data.bin', '100', /64 bytes, 164 are needed/],
  ['beyond any end', 'data.bin', '9007199254740991', /bytes, \d+ are needed/],
  ['before the start', 'data.bin', '-8', /offset -8 is no number of bytes/],
  ['at no number', 'data.bin', '1e400', /is no number of bytes/],
])('ONNX external data %s', (_name, location, offset, message) => {
  writeFileSync(path('data.bin'), new Uint8Array(64));
  const from = onnxWith(location, offset);
  const run = path('run');
  const build = () => emitImport({ from, variant: 'full', loss: 'mse' }, run);
  expect(build).toThrow(FileError);
  expect(build).toThrow(message);
  expect(existsSync(run)).toBe(false);
});

test('a damaged ONNX file is inspected as far as it is one', async () => {
  await expect(inspectWeights(file('x.onnx', latin1('not protobuf')))).rejects.toThrow(/not an ONNX model/);
});

test('on the command line: one message, no stack trace, exit code 2, nothing written', async () => {
  const own = temporaryFolder();
  const evil = file('evil.pth', torchZip(op.whole(op.reduce(system, command))));
  const out = join(own, 'base.safetensors');
  mkdirSync(join(own, 'there'));
  for (const args of [
    ['import', evil, '--preset', 'miss-tiny', '--out', out],
    ['inspect', evil],
    ['export', evil, '--layout', 'miss', '--out', out],
  ]) {
    const { code, stdout, stderr } = await runProgram('ort-weights', args, own);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(
      /^the pickle asks for posix\.system, which is refused; nothing of it was run\n {2}where: /,
    );
    expect(stderr.trim().split('\n').length).toBe(3);
  }
  expect(readdirSync(own)).toEqual(['there']);
  expect(existsSync(marker)).toBe(false);
});
