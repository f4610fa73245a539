/** @file The small model of the golden files (test/oracles): its sizes, weights, batch and expected values. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Graph } from '../../graph-builder/ir/types.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import { type Feeds, float32, int32, int64, type Session, type Tensor } from '../../runtime/core/session.js';
import { openSession } from '../../runtime/node/ort.js';
import { writeAtomic } from '../../training-artifacts/files.js';
import { withSafetensors } from '../../training-artifacts/weights/safetensors-file.js';

export const oracle = (path: string): string => new URL(`../oracles/${path}`, import.meta.url).pathname;

/** The configuration of test/oracles/blip/config.json. */
export const goldenConfig: MissConfig = {
  imageSize: 32,
  patchSize: 8,
  hidden: 64,
  intermediate: 128,
  visionLayers: 2,
  visionHeads: 4,
  textLayers: 2,
  textHeads: 4,
  vocab: 97,
  maxPositions: 64,
  labelSmoothing: 0.1,
};

export const weightsFile = oracle('blip/weights.safetensors');

/** All tensors of a golden file. */
export function readTensors(path: string): Record<string, Tensor> {
  return withSafetensors(oracle(path), (file) =>
    Object.fromEntries(
      [...file.header.tensors].map(([name, { dtype, shape }]) => {
        const { buffer } = file.bytes(name);
        const data =
          dtype === 'I32'
            ? new Int32Array(buffer)
            : dtype === 'I64'
              ? new BigInt64Array(buffer)
              : new Float32Array(buffer);
        return [name, { data, dims: shape }];
      }),
    ),
  );
}

/** Opens a graph whose frozen weights are mapped from a golden file. */
export async function openGraph(graph: Graph, file = weightsFile): Promise<Session> {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-test-'));
  const name = file.slice(file.lastIndexOf('/') + 1);
  const path = join(folder, 'graph.onnx');
  const bytes = withSafetensors(file, ({ header }) =>
    writeOnnx(graph, { name: 'test', weights: (p) => ({ location: name, ...header.tensors.get(p.name)! }) }),
  );
  writeAtomic(path, bytes);
  try {
    return await openSession(path, { weightsFolder: file.slice(0, file.lastIndexOf('/')), threads: 1 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const numbers = (t: Tensor): number[] => Array.from(t.data, Number);
const iota = (rows: number, columns: number) => Array.from({ length: rows * columns }, (_, i) => i % columns);

/** The golden batch as the training graph's feeds. */
export function goldenFeeds(config: MissConfig = goldenConfig): Feeds {
  const golden = readTensors('blip/inputs.safetensors');
  const text = (kind: 'question' | 'answer', prefix: '' | 'decoder_'): Record<string, Tensor> => {
    const [batch, tokens] = golden[`${prefix}input_ids`]!.dims as [number, number];
    const headDim = config.hidden / config.textHeads;
    return {
      [`${kind}_ids`]: int32(numbers(golden[`${prefix}input_ids`]!), [batch, tokens]),
      [`${kind}_mask`]: int32(numbers(golden[`${prefix}attention_mask`]!), [batch, tokens]),
      [`${kind}_position_ids`]: int32(iota(batch, tokens), [batch, tokens]),
      [`${kind}_shape`]: int64([batch, tokens, config.textHeads, headDim]),
      [`${kind}_token_shape`]: int64([batch, tokens]),
    };
  };
  const [batch, tokens] = golden.decoder_input_ids!.dims as [number, number];
  const labels = numbers(golden.labels!);
  // The logits at position t predict token t + 1.
  const positions = labels.flatMap((label, i) => (label >= 0 && i % tokens > 0 ? [i - 1] : []));
  return {
    pixel_values: golden.pixel_values!,
    image_selection: float32(
      Float32Array.from({ length: batch * batch }, (_, i) => (i % (batch + 1) === 0 ? 1 : 0)),
      [batch, batch],
    ),
    ...text('question', ''),
    ...text('answer', 'decoder_'),
    label_positions: int32(positions, [positions.length]),
    labels: int32(
      positions.map((p) => labels[p + 1]!),
      [positions.length],
    ),
    label_weights: float32(new Float32Array(positions.length).fill(1 / batch), [positions.length]),
    loss_scale: float32(Float32Array.of(1), []),
  };
}

export const norm = (x: ArrayLike<number>): number => Math.sqrt(Array.from(x).reduce((s, v) => s + v * v, 0));

export const maxDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce(
    (most, v, i) => Math.max(most, Math.abs(v - b[i]!)),
    a.length === b.length ? 0 : Infinity,
  );
