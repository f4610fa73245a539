/** @file Weights files with 8-bit copies beside the float32 weights, for graphs in tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { int8Products } from '../../graph-builder/rewrites/int8.js';
import type { Int8Form } from '../../graph-builder/rewrites/int8-weights.js';
import { matricesOf } from '../../training-artifacts/graphs/frozen-compute.js';
import { int8Entries } from '../../training-artifacts/weights/int8-file.js';
import {
  type LazyTensor,
  withSafetensors,
  writeSafetensors,
} from '../../training-artifacts/weights/safetensors-file.js';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Path of a weights file to be written, removed after the file's tests. */
export function weightsPathIn(prefix: string): string {
  const folder = mkdtempSync(join(tmpdir(), `mile-ort-${prefix}-`));
  folders.push(folder);
  return join(folder, 'weights.safetensors');
}

/** The tensors of `source` and the 8-bit copies of all matrices that `graph` reads, in one new file. */
export function fileWithInt8(source: string, graph: Graph, form: Int8Form): string {
  const path = weightsPathIn('int8');
  withSafetensors(source, (file) => {
    const own = [...file.header.tensors].map(([name, { dtype, shape }]): [string, LazyTensor] => [
      name,
      { dtype, shape, bytes: () => file.bytes(name) },
    ]);
    writeSafetensors(path, new Map([...own, ...int8Entries(file, matricesOf(graph), form)]));
  });
  return path;
}

/** All frozen products in 8 bits. */
export const inInt8 = (graph: Graph, form: Int8Form): Graph =>
  prune(verify(int8Products(graph, { form, includes: () => true })));
