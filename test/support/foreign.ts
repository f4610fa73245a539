/** @file Small ONNX models as another exporter would write them, node by node. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import onnxProto, { type onnx } from 'onnx-proto';
import { onnxTypes } from '../../graph-builder/ir/dtypes.js';
import { verify } from '../../graph-builder/ir/graph.js';
import type { Dim, DType } from '../../graph-builder/ir/types.js';
import { encodeNumbers } from '../../graph-builder/onnx/literals.js';
import { readOnnx } from '../../graph-builder/onnx/read.js';
import { type Feeds, float32, type Tensor } from '../../runtime/core/session.js';
import { openSession } from '../../runtime/node/ort.js';
import { writeAtomic } from '../../training-artifacts/files.js';
import { openImported } from './imports.js';
import { seededNormal, sizeOf } from './one-op.js';

type AttributeValue =
  | { i: number }
  | { f: number }
  | { s: string }
  | { ints: number[] }
  | { t: onnx.ITensorProto };

export interface ForeignNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs?: readonly string[];
  readonly attrs?: Readonly<Record<string, AttributeValue>>;
  readonly name?: string;
  readonly domain?: string;
}

export interface ForeignModel {
  readonly inputs: Readonly<Record<string, readonly Dim[]>>;
  readonly nodes: readonly ForeignNode[];
  readonly initialisers?: readonly onnx.ITensorProto[];
  readonly opset?: number;
  /** default: the last output of the last node */
  readonly outputs?: readonly string[];
}

const { AttributeType } = onnxProto.onnx.AttributeProto;

function attribute(name: string, value: AttributeValue): onnx.IAttributeProto {
  if ('i' in value) return { name, type: AttributeType.INT, i: value.i };
  if ('f' in value) return { name, type: AttributeType.FLOAT, f: value.f };
  if ('ints' in value) return { name, type: AttributeType.INTS, ints: value.ints };
  if ('t' in value) return { name, type: AttributeType.TENSOR, t: value.t };
  return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value.s) };
}

/** A tensor with its numbers as bytes. */
export const tensor = (
  name: string,
  dtype: DType,
  dims: readonly number[],
  data: readonly number[],
): onnx.ITensorProto => ({
  name,
  dataType: onnxTypes[dtype],
  dims: [...dims],
  rawData: encodeNumbers(dtype, data),
});

export const int64s = (name: string, ...data: number[]): onnx.ITensorProto =>
  tensor(name, 'int64', [data.length], data);

const info = (name: string, dtype: DType, shape: readonly Dim[]): onnx.IValueInfoProto => ({
  name,
  type: {
    tensorType: {
      elemType: onnxTypes[dtype],
      shape: { dim: shape.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) },
    },
  },
});

/** The bytes of a model whose inputs are float32, but for names that start with `ids`. */
export function foreignBytes({
  inputs,
  nodes,
  initialisers = [],
  opset = 18,
  outputs,
}: ForeignModel): Uint8Array {
  const named = nodes.map((n, i) => ({ outputs: [`v${i}`], ...n }));
  const model = onnxProto.onnx.ModelProto.create({
    irVersion: 8,
    producerName: 'another exporter',
    opsetImport: [
      { domain: '', version: opset },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: {
      name: 'foreign',
      input: Object.entries(inputs).map(([name, shape]) =>
        info(name, name.startsWith('ids') ? 'int64' : 'float32', shape),
      ),
      initializer: [...initialisers],
      node: named.map(({ op, name, domain = '', attrs = {}, ...n }, i) => ({
        opType: op,
        name: name ?? `node_${i}`,
        domain,
        input: [...n.inputs],
        output: [...n.outputs],
        attribute: Object.entries(attrs).map(([key, value]) => attribute(key, value)),
      })),
      output: (outputs ?? [named.at(-1)!.outputs[0]!]).map((name) => ({ name })),
    },
  });
  return onnxProto.onnx.ModelProto.encode(model).finish();
}

/** length of every symbolic axis */
const BATCH = 3;

function feedsFor({ inputs }: ForeignModel): Feeds {
  const random = seededNormal(5);
  return Object.fromEntries(
    Object.entries(inputs).map(([name, shape]) => {
      const dims = shape.map((d) => (typeof d === 'number' ? d : BATCH));
      const ids = () => BigInt64Array.from({ length: sizeOf(dims) }, (_, i) => BigInt((i * 5) % 4));
      return [name, name.startsWith('ids') ? { data: ids(), dims } : float32(random(sizeOf(dims)), dims)];
    }),
  );
}

/** The original file in ONNX Runtime, and ours made from it. */
export async function bothAnswers(model: ForeignModel) {
  const bytes = foreignBytes(model);
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-test-'));
  writeAtomic(join(folder, 'foreign.onnx'), bytes);
  const { graph, inline } = readOnnx(bytes, 'foreign.onnx', { inlineWeights: true });
  const theirs = await openSession(join(folder, 'foreign.onnx'), { threads: 1 });
  const ours = await openImported(verify(graph), inline);
  const feeds = feedsFor(model);
  const first = (results: Record<string, Tensor>) => Object.values(results)[0]!;
  const answers = { theirs: first(await theirs.run(feeds)), ours: first(await ours.run(feeds)), graph };
  await Promise.all([theirs.release(), ours.release()]);
  rmSync(folder, { recursive: true });
  return answers;
}
