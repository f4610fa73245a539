/** @file IR → ONNX → IR: nothing is lost, equal graphs give equal bytes, damaged files give a FileError. */
import fc from 'fast-check';
import onnxProto, { type onnx } from 'onnx-proto';
import { describe, expect, test } from 'vitest';
import { FileError } from '../../graph-builder/errors.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { mapValues, printGraph, prune, verify } from '../../graph-builder/ir/graph.js';
import type { Graph, Node, Parameter, Value } from '../../graph-builder/ir/types.js';
import { imageEncoderGraph } from '../../graph-builder/models/miss.js';
import { readOnnx } from '../../graph-builder/onnx/read.js';
import { type ExternalTensor, writeOnnx } from '../../graph-builder/onnx/write.js';
import { definitionOf } from '../../graph-builder/ops/registry.js';
import { goldenConfig } from '../support/golden.js';
import { gradientGraph, graphsOf } from '../support/models.js';

/** Byte ranges one behind the other, from an offset beyond 32 bits. */
function weightsFrom(start: number): (p: Parameter) => ExternalTensor {
  let offset = start;
  return ({ shape }) => {
    const length = 4 * (shape as number[]).reduce((p, n) => p * n, 1);
    offset += length;
    return { location: 'model.safetensors', offset: offset - length, length };
  };
}

const write = (graph: Graph, start = 5 * 2 ** 30): Uint8Array =>
  writeOnnx(graph, { name: 'test', weights: weightsFrom(start), metadata: { variant: 'lora-r4' } });

/**
 * The graph in the form that ONNX keeps: without unused parts, frozen parameters first, values under the names
 * of the outputs they are, optional outputs that nobody reads left out.
 */
function asWritten(whole: Graph): Graph {
  const graph = prune(whole);
  const renamed = new Map<Value, Value>();
  const names = new Map<Value, string>();
  for (const [name, value] of Object.entries(graph.outputs)) if (!names.has(value)) names.set(value, name);
  const current = (v: Value): Value => renamed.get(v) ?? v;
  const read = new Set([...graph.nodes.flatMap((n) => n.inputs), ...Object.values(graph.outputs)]);
  const nodes = graph.nodes.map((node): Node => {
    const last = definitionOf(node.op).optionalOutputs
      ? node.outputs.findLastIndex((v) => read.has(v))
      : Infinity;
    const outputs = node.outputs.slice(0, last + 1);
    for (const v of outputs) if (names.has(v)) renamed.set(v, { ...v, name: names.get(v)! });
    return { ...node, inputs: node.inputs.map((v) => v && current(v)), outputs: outputs.map(current) };
  });
  const parameters = graph.parameters.toSorted((a, b) => Number(a.trainable) - Number(b.trainable));
  return { ...graph, parameters, nodes, outputs: mapValues(graph.outputs, current) };
}

const graphs = Object.entries(graphsOf(goldenConfig));

describe.each(graphs)('%s', (_name, graph) => {
  const bytes = write(graph);
  const { graph: back, weights, metadata } = readOnnx(bytes, 'test.onnx');

  test('reads back as it was printed', () => {
    expect(printGraph(back)).toBe(printGraph(asWritten(graph)));
  });

  test('keeps constants, byte ranges and the lists of parameters', () => {
    // static inputs are constants in the file, attributes in the IR
    const literal = (name: string) => name.startsWith('int64_');
    expect(back.constants.filter((c) => !literal(c.name))).toEqual(
      prune(graph).constants.map((c) => ({
        ...c,
        data: c.dtype === 'float32' ? c.data.map(Math.fround) : c.data,
      })),
    );
    const list = (trainable: boolean) =>
      prune(graph)
        .parameters.filter((p) => p.trainable === trainable)
        .map((p) => p.name);
    expect(JSON.parse(metadata.trainable!)).toEqual(list(true));
    expect(JSON.parse(metadata.frozen!)).toEqual(list(false));
    expect(metadata.variant).toBe('lora-r4');
    const range = weightsFrom(5 * 2 ** 30);
    const frozen = prune(graph).parameters.filter((p) => !p.trainable);
    expect([...weights]).toEqual(frozen.map((p) => [p.name, range(p)]));
  });

  test('gives the same bytes again', () => {
    expect(Buffer.compare(write(graph), bytes)).toBe(0);
    const { offset } = [...weights.values()][0] ?? { offset: 0 };
    const again = write(back, offset);
    expect(printGraph(readOnnx(again, 'again.onnx').graph)).toBe(printGraph(back));
    expect(Buffer.compare(write(readOnnx(again, 'again.onnx').graph, offset), again)).toBe(0);
  });
});

test('the same model built twice gives the same bytes', () => {
  const build = () => write(gradientGraph(goldenConfig, 'lora-r4', { placement: 'P/P/P' }));
  expect(Buffer.compare(build(), build())).toBe(0);
});

test('a graph that was read is as good as one that was built', () => {
  const { graph } = readOnnx(write(imageEncoderGraph(goldenConfig)), 'test.onnx');
  expect(() => verify(graph)).not.toThrow();
});

test('one value with two public names, and an input that is an output', () => {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', [2]);
  const y = g.add(x, 1);
  const { graph } = readOnnx(write(g.finish({ y, z: y, same: x })), 'test.onnx');
  expect(graph.outputs.z).toBe(graph.outputs.y);
  expect(graph.outputs.same).toBe(graph.inputs[0]);
});

type Model = onnx.ModelProto;
const small = write(imageEncoderGraph({ ...goldenConfig, visionLayers: 1 }));
const damaged = (change: (model: Model) => unknown): Uint8Array => {
  const model = onnxProto.onnx.ModelProto.decode(small);
  change(model);
  return onnxProto.onnx.ModelProto.encode(model).finish();
};
const nodeOf = (model: Model, op: string) => model.graph!.node!.find((n) => n.opType === op)!;
const softmax = (change: onnx.INodeProto) => damaged((m) => Object.assign(nodeOf(m, 'Softmax'), change));
const literal = (m: Model) => m.graph!.initializer!.find((t) => t.name!.startsWith('int64_'))!;
const offset = (m: Model) => m.graph!.initializer!.find((t) => t.externalData!.length > 0)!.externalData![1]!;
const NOT_ONNX = 'not an ONNX model, or damaged';

describe('files that are not ours', () => {
  test.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(), 'the model has no graph'],
    ['text', new TextEncoder().encode('{"not": "onnx"}'), NOT_ONNX],
    ['half a file', small.slice(0, small.length >> 1), NOT_ONNX],
    ['an operator that we lack', softmax({ opType: 'Einsum' }), 'operator Einsum is not supported'],
    ['an operator of another domain', softmax({ domain: 'x.y' }), 'operator x.y.Softmax is not supported'],
    ['a value that nobody makes', softmax({ input: ['lost'] }), 'lost is read before it is made'],
    ['a value made twice', damaged((m) => m.graph!.node!.push(nodeOf(m, 'Softmax'))), 'is made twice'],
    [
      'an output that nobody makes',
      damaged((m) => Object.assign(m.graph!.output![0]!, { name: 'lost' })),
      'lost is read before it is made',
    ],
    [
      'a double',
      damaged((m) => Object.assign(m.graph!.input![0]!.type!.tensorType!, { elemType: 11 })),
      'tensor type 11 is not supported',
    ],
    [
      'a literal cut short',
      damaged((m) => Object.assign(literal(m), { rawData: new Uint8Array(0) })),
      'raw numbers',
    ],
    [
      'a byte range without numbers',
      damaged((m) => Object.assign(offset(m), { value: '1e99' })),
      'the offset 1e99 is no number of bytes',
    ],
    [
      'metadata that are not JSON',
      damaged((m) => Object.assign(m.metadataProps![1]!, { value: '[' })),
      NOT_ONNX,
    ],
    [
      'a reduction without axes',
      damaged((m) => nodeOf(m, 'ReduceMean').input!.pop()),
      'ReduceMean has no constant axes',
    ],
  ])('%s', (_name, bytes, what) => {
    let error: unknown;
    try {
      readOnnx(bytes, 'some.onnx');
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(FileError);
    expect((error as FileError).what).toContain(what);
    expect((error as FileError).remedy).not.toBe('');
  });

  const models = [
    small,
    write(
      gradientGraph({ ...goldenConfig, visionLayers: 1, textLayers: 1 }, 'lora-r4', { placement: 'F/P/P' }),
    ),
  ];
  const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { maxLength: 8 });
  // Random bytes mostly hit names; the start has the model's fields, lengths and the first nodes.
  const place = fc.constantFrom(40, 4000, Infinity);

  test('a damaged file is read or refused with a FileError', () => {
    let [read, refused] = [0, 0];
    fc.assert(
      fc.property(
        fc.constantFrom(...models),
        flips,
        place,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.boolean(),
        (model, changes, within, cut, isCut) => {
          const bytes = new Uint8Array(model.subarray(0, isCut ? Math.floor(cut * model.length) : undefined));
          for (const [at, mask] of changes)
            if (bytes.length > 0) bytes[at % Math.min(bytes.length, within)]! ^= mask;
          try {
            const { graph } = readOnnx(bytes, 'fuzz.onnx');
            printGraph(graph);
            read += 1;
          } catch (error) {
            refused += 1;
            expect(error).toBeInstanceOf(FileError);
          }
        },
      ),
      { seed: Number(process.env.FUZZ_SEED ?? 1), numRuns: Number(process.env.FUZZ_RUNS ?? 400) },
    );
    expect(Math.min(read, refused)).toBeGreaterThan(20); // both happen
  });
});
