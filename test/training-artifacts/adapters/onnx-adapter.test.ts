/**
 * @file Our `.onnx_adapter` files against those that Python's onnxruntime reads and writes.
 *
 * To record again: run this file with ONNX_ADAPTER_CASES=FOLDER, then
 * test/oracles/onnx_adapter/check_onnx_adapter.py FOLDER/CASE ... --record.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ByteBuffer } from 'flatbuffers';
import { expect, test } from 'vitest';
import { floats } from '../../../runtime/core/session.js';
import { openSession } from '../../../runtime/node/ort.js';
import { encodeOnnxAdapter } from '../../../training-artifacts/adapters/onnx-adapter.js';
import { readAdapterFolder } from '../../../training-artifacts/adapters/peft-folder.js';
import { noAdapter } from '../../../training-artifacts/adapters/stored-adapter.js';
import { readJson } from '../../../training-artifacts/files.js';
import { graphFiles } from '../../../training-artifacts/graphs/manifest.js';
import { writeOnnxAdapterFolder } from '../../../training-artifacts/graphs/onnx-adapter-folder.js';
import { type ServingRole, servingRoles } from '../../../training-artifacts/graphs/serving.js';
import { FlatTable } from '../../../training-artifacts/ort-training/flat-table.js';
import {
  caseName,
  type FirstCall,
  firstCalls,
  onnxAdapterCases,
  writeCase,
} from '../../oracles/onnx_adapter/cases.js';
import { maxDifference, oracle } from '../../support/golden.js';
import { goldenRun } from '../../support/golden-run.js';
import { temporaryFolder } from './support.js';

type Recorded = Record<
  ServingRole,
  Record<'base' | 'adapter', Record<string, number[]>> & { sha256?: string }
>;

/** A file as the schema has it, and where in 8 bytes its numbers start. */
function decode(bytes: Uint8Array) {
  expect(new TextDecoder().decode(bytes.subarray(4, 8))).toBe('TORT');
  const root = FlatTable.root(new ByteBuffer(bytes), 'test');
  const parameters = root.tables(3).map((p) => {
    const raw = p.bytes(3);
    return {
      name: p.string(0),
      dims: p.int64s(1),
      type: p.int32(2),
      numbers: [...new Float32Array(raw.slice().buffer)],
      at: (raw.byteOffset - bytes.byteOffset) % 8,
    };
  });
  return { versions: [0, 1, 2].map((slot) => root.int32(slot)), parameters };
}

test('the same content as ONNX Runtime’s own writer', () => {
  const tensors = new Map([
    ['x.lora_A.weight', { shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) }],
    ['y.ia3_l', { shape: [1, 1], data: Float32Array.of(0.5) }],
  ]);
  const [ours, theirs] = [
    decode(encodeOnnxAdapter(tensors)),
    decode(new Uint8Array(readFileSync(oracle('onnx_adapter/python.onnx_adapter')))),
  ];
  // the schema asks for it; ONNX Runtime 1.32 itself does not keep to it
  expect(ours.parameters.map(({ at }) => at)).toEqual([0, 0]);
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  const content = ({ versions, parameters }: typeof ours) => ({
    versions,
    parameters: parameters.map(({ at: _, ...rest }) => rest).sort(byName),
  });
  expect(content(ours)).toEqual(content(theirs));
});

/** Numbers that Python's onnxruntime gave, against onnxruntime-node on the run's own graphs. */
function expectRecorded(
  calls: ReadonlyMap<ServingRole, FirstCall>,
  recorded: Recorded,
  which: 'base' | 'adapter',
): void {
  for (const role of servingRoles) {
    for (const [name, numbers] of Object.entries(recorded[role][which] ?? {})) {
      const ours = floats(calls.get(role)!.outputs[name]);
      expect(numbers.length).toBeGreaterThan(0);
      numbers.forEach((number, i) => {
        expect(Math.abs(ours[i]! - number), `${role} ${name}`).toBeLessThan(1e-4);
      });
    }
  }
}

function compare(): void {
  const { cases } = readJson(oracle('onnx_adapter/onnx-adapter.golden.json')) as {
    cases: Record<string, Recorded>;
  };

  test.each(onnxAdapterCases.map((which) => [caseName(which), which] as const))(
    '%s',
    async (_name, which) => {
      const run = await writeCase(temporaryFolder(), which);
      const recorded = cases[run.split('/').at(-1)!]!;
      const folder = join(run, 'onnx-adapter');
      for (const role of servingRoles) {
        const adapter = join(folder, graphFiles[role].replace(/onnx$/, 'onnx_adapter'));
        expect(existsSync(adapter)).toBe(recorded[role].sha256 !== undefined);
        if (!recorded[role].sha256) continue;
        // the very bytes that Python read
        expect(createHash('sha256').update(readFileSync(adapter)).digest('hex')).toBe(recorded[role].sha256);
      }
      const base = await firstCalls(noAdapter);
      expectRecorded(base, recorded, 'base');
      // the exported graphs by themselves, with the copy of the weights beside them
      for (const role of servingRoles) {
        const { feeds, outputs } = base.get(role)!;
        const session = await openSession(join(folder, graphFiles[role]), {
          weightsFolder: folder,
          threads: 1,
        });
        const found = await session.run(feeds);
        await session.release();
        for (const [name, { data }] of Object.entries(outputs))
          expect(
            maxDifference(Array.from(found[name]!.data, Number), Array.from(data, Number)),
            name,
          ).toBeLessThan(1e-5);
      }
      expectRecorded(await firstCalls(readAdapterFolder(join(run, 'adapter'))), recorded, 'adapter');
    },
  );

  test('a prefix, a run without adapters and a folder in use are refused, and nothing is written', () => {
    const folder = temporaryFolder();
    const prefix = goldenRun(folder, 'ptv2-n10', 'F/F/P');
    const target = join(folder, 'out');
    expect(() => writeOnnxAdapterFolder(prefix, target)).toThrow(/ptv2 cannot be an \.onnx_adapter/);
    expect(() => writeOnnxAdapterFolder(prefix, prefix)).toThrow(/cannot be/);
    const ia3 = goldenRun(folder, 'ia3', 'F/P/P');
    expect(() => writeOnnxAdapterFolder(ia3, prefix)).toThrow(/the folder has files already/);
    expect(readdirSync(folder).sort()).toEqual(['ia3-fpp', 'ptv2-n10-ffp']);
  });
}

const out = process.env.ONNX_ADAPTER_CASES;
if (out)
  test.each(onnxAdapterCases)('writing $variant $placement', (which) => writeCase(out, which).then(() => {}));
else compare();
