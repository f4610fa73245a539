/** @file Runs of the golden model as `.onnx_adapter` folders, and what their graphs are fed when they answer. */
import { join } from 'node:path';
import { ServedModel } from '../../../runtime/core/served-model.js';
import type { Feeds, Tensor } from '../../../runtime/core/session.js';
import { exportAdapter } from '../../../runtime/node/training/finish.js';
import { readAdapterFolder } from '../../../training-artifacts/adapters/peft-folder.js';
import { noAdapter } from '../../../training-artifacts/adapters/stored-adapter.js';
import { writeOnnxAdapterFolder } from '../../../training-artifacts/graphs/onnx-adapter-folder.js';
import type { ServingRole } from '../../../training-artifacts/graphs/serving.js';
import { type LazyTensor, writeSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';
import { goldenBase, goldenBeams, goldenRun } from '../../support/golden-run.js';

export const onnxAdapterCases = [
  { variant: 'lora-r4', placement: 'P/P/P' },
  { variant: 'lora-r8', placement: 'P/P/P' },
  { variant: 'ia3', placement: 'F/P/P' },
  { variant: 'lora-r4', placement: 'F/T/P' },
] as const;
export type OnnxAdapterCase = (typeof onnxAdapterCases)[number];

export const caseName = ({ variant, placement }: OnnxAdapterCase): string => `${variant} ${placement}`;

/** What a graph gets at its first call, and what it gives. */
export interface FirstCall {
  readonly feeds: Feeds;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** The first call of each graph when the golden batch is answered, by onnxruntime-node and the run's own graphs. */
export async function firstCalls(adapter: Parameters<ServedModel['loadAdapter']>[1]) {
  const base = goldenBase();
  const calls = new Map<ServingRole, FirstCall>();
  const model = new ServedModel({
    ...base,
    async open(role, graph) {
      const session = await base.open(role, graph);
      const run: typeof session.run = async (feeds) => {
        const outputs = await session.run(feeds);
        const own = Object.entries(feeds).filter(([name]) => session.inputNames.includes(name));
        if (!calls.has(role)) calls.set(role, { feeds: Object.fromEntries(own), outputs });
        return outputs;
      };
      return { ...session, run };
    },
  });
  await model.loadAdapter('it', adapter);
  await goldenBeams(model.answerer('it'));
  await model.release();
  return calls;
}

const types = { Float32Array: 'F32', Int32Array: 'I32', BigInt64Array: 'I64' } as const;

const lazy = ({ data, dims }: Tensor): LazyTensor => ({
  dtype: types[data.constructor.name as keyof typeof types],
  shape: dims,
  bytes: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

/** Writes a case: `onnx-adapter/` and calls.safetensors, whose names are `<which>/<role>/<feeds|outputs>/<name>`. */
export async function writeCase(folder: string, which: OnnxAdapterCase): Promise<string> {
  const run = goldenRun(folder, which.variant, which.placement);
  const adapter = readAdapterFolder(exportAdapter(run));
  const tensors = new Map<string, LazyTensor>();
  for (const [name, calls] of [
    ['base', await firstCalls(noAdapter)],
    ['adapter', await firstCalls(adapter)],
  ] as const)
    for (const [role, call] of calls)
      for (const part of ['feeds', 'outputs'] as const)
        for (const [key, tensor] of Object.entries(call[part]))
          tensors.set(`${name}/${role}/${part}/${key}`, lazy(tensor));
  writeSafetensors(join(run, 'calls.safetensors'), tensors);
  writeOnnxAdapterFolder(run, join(run, 'onnx-adapter'));
  return run;
}
