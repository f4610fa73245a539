/** @file Graphs with random weights as sessions of onnxruntime-node, and as files for onnxruntime-web. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Graph, Parameter } from '../../graph-builder/ir/types.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import { type Feeds, float32, type Session, type Tensor } from '../../runtime/core/session.js';
import type { TrainableTensor } from '../../runtime/core/trainer.js';
import { type OpenOptions, openSession } from '../../runtime/node/ort.js';
import { initialValues } from '../../training-artifacts/weights/initialise.js';

export const WEIGHTS_FILE = 'weights.bin';

/** Zeros would let products be skipped by luck: adapters start from noise instead. */
const values = (p: Parameter): Float32Array =>
  initialValues(p.init === 'zeros' && p.shape.length > 1 ? { ...p, init: 'normal' } : p, 0);

/** The ONNX bytes of a graph and the file of its frozen weights. */
export function modelFiles(graph: Graph): { model: Uint8Array; weights: Uint8Array } {
  const offsets = new Map<string, number>();
  const parts: Buffer[] = [];
  let offset = 0;
  for (const p of graph.parameters.filter((p) => !p.trainable)) {
    const { buffer, byteLength } = values(p);
    offsets.set(p.name, offset);
    parts.push(Buffer.from(buffer, 0, byteLength));
    offset += byteLength;
  }
  const model = writeOnnx(graph, {
    name: 'bench',
    weights: ({ name, shape }) => ({
      location: WEIGHTS_FILE,
      offset: offsets.get(name)!,
      length: 4 * (shape as readonly number[]).reduce((p, n) => p * n, 1),
    }),
  });
  return { model, weights: Buffer.concat(parts) };
}

/** The trainable parameters of a graph with fresh moments. */
export const trainableTensors = (graph: Graph): Map<string, TrainableTensor> =>
  new Map(
    graph.parameters
      .filter((p) => p.trainable)
      .map((p) => {
        const value = values(p);
        const moment = () => new Float32Array(value.length);
        return [p.name, { value, shape: p.shape as readonly number[], expAvg: moment(), expAvgSq: moment() }];
      }),
  );

export const weightFeeds = (graph: Graph): Feeds =>
  Object.fromEntries([...trainableTensors(graph)].map(([name, t]) => [name, float32(t.value, t.shape)]));

/** Numbers between -0.5 and 0.5. */
export const noise = (dims: readonly number[]): Tensor =>
  float32(
    Float32Array.from({ length: dims.reduce((p, n) => p * n, 1) }, () => Math.random() - 0.5),
    dims,
  );

/** What the backward pass starts from, as an input of training graphs. */
export const unscaled = { loss_scale: float32(Float32Array.of(1), []) };

/** A session of onnxruntime-node; the files are gone when it is released. */
export async function openGraph(graph: Graph, options: OpenOptions = {}): Promise<Session> {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-bench-'));
  const { model, weights } = modelFiles(graph);
  writeFileSync(join(folder, WEIGHTS_FILE), weights);
  writeFileSync(join(folder, 'graph.onnx'), model);
  const session = await openSession(join(folder, 'graph.onnx'), options);
  return {
    ...session,
    release: async () => {
      await session.release();
      rmSync(folder, { recursive: true });
    },
  };
}
