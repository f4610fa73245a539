/** @file The models of test/oracles/imports: exported from PyTorch, with its answers in float64. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { verify } from '../../graph-builder/ir/graph.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { crossEntropy } from '../../graph-builder/nn/losses.js';
import { type ReadModel, readOnnx } from '../../graph-builder/onnx/read.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import { setTrainable } from '../../graph-builder/rewrites/freeze.js';
import { type Feeds, float32, type Session, type Tensor } from '../../runtime/core/session.js';
import { openSession } from '../../runtime/node/ort.js';
import { writeAtomic } from '../../training-artifacts/files.js';
import { oracle, readTensors } from './golden.js';

/** Models by their exporter: TorchDynamo's (opsets 18 and 23) and the older TorchScript one (opsets 13 and 17). */
export const forms = [
  'mlp',
  'mlp-torchscript',
  'bert',
  'bert-torchscript',
  'vit',
  'gpt',
  'resnet',
  'resnet-fused',
] as const;
export type Form = (typeof forms)[number];

export const fixtureBytes = (form: Form): Uint8Array => readFileSync(oracle(`imports/${form}.onnx`));

export const readFixture = (form: Form): ReadModel =>
  readOnnx(fixtureBytes(form), `${form}.onnx`, { inlineWeights: true });

export interface Golden {
  readonly inputs: Feeds;
  readonly labels: Tensor;
  readonly logits: Tensor;
  readonly loss: Tensor;
  /** by the initialiser's name in the ONNX file */
  readonly gradients: Feeds;
}

export function goldenOf(form: Form): Golden {
  const { labels, logits, loss, ...rest } = readTensors(`imports/${form}.safetensors`);
  const under = (prefix: string): Feeds =>
    Object.fromEntries(
      Object.entries(rest).flatMap(([name, t]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), t]] : [],
      ),
    );
  return {
    labels: labels!,
    logits: logits!,
    loss: loss!,
    inputs: under('input.'),
    gradients: under('grad.'),
  };
}

/** Loss and gradients of all parameters that `isTrained`. */
export function trainingGraphOf(graph: Graph, isTrained: (name: string) => boolean = () => true): Graph {
  const g = new GraphBuilder(setTrainable(graph, (p) => isTrained(p.name)));
  const logits = graph.outputs.logits!;
  const labels = g.input('labels', 'int32', logits.shape.slice(0, -1));
  const loss = crossEntropy(g, logits, labels);
  return verify(differentiate(verify(g.finish({ logits, loss })), { loss }));
}

/** The bytes of weights in the file, as feeds of a graph that trains them. */
export const weightFeeds = ({ graph, inline }: ReadModel): Feeds =>
  Object.fromEntries(
    graph.parameters.map(({ name, shape }) => {
      const bytes = new Uint8Array(inline.get(name)!); // aligned
      return [name, float32(new Float32Array(bytes.buffer), shape as readonly number[])];
    }),
  );

/** Opens a graph; its frozen weights are those in the file that was read. */
export async function openImported(graph: Graph, inline: ReadonlyMap<string, Uint8Array>): Promise<Session> {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-test-'));
  let length = 0;
  const ranges = new Map(
    [...inline].map(([name, bytes]) => {
      length += bytes.length;
      return [name, { location: 'weights.bin', offset: length - bytes.length, length: bytes.length }];
    }),
  );
  writeAtomic(join(folder, 'weights.bin'), [...inline.values()]);
  const path = join(folder, 'graph.onnx');
  writeAtomic(path, writeOnnx(graph, { name: 'test', weights: (p) => ranges.get(p.name)! }));
  try {
    return await openSession(path, { weightsFolder: folder, threads: 1 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Rows `from` to `to` of the first axis. */
export function rowsOf({ data, dims }: Tensor, from: number, to: number): Tensor {
  const width = dims.slice(1).reduce((p, n) => p * n, 1);
  return { data: data.slice(from * width, to * width), dims: [to - from, ...dims.slice(1)] };
}
