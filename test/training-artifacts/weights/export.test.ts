/** @file Exported weights: what transformers saved comes out again, bit by bit, with a configuration that fits. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type ExportOptions, exportWeights } from '../../../training-artifacts/weights/export-weights.js';
import { withSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';
import { oracle } from '../../support/golden.js';
import { importInto } from './importing.js';
import { path } from './support.js';

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

/** Names, types, shapes and bytes of a file. */
const contents = (file: string) =>
  withSafetensors(file, (f) => {
    const names = [...f.header.tensors.keys()].sort();
    return names.map((name) => {
      const { dtype, shape } = f.entry(name);
      return { name, dtype, shape, bytes: Buffer.from(f.bytes(name)).toString('base64') };
    });
  });

const exportInto = (source: string, out: string, options: Partial<ExportOptions> = {}) =>
  exportWeights({
    source,
    out: path(out),
    layout: 'hf-blip',
    dtype: 'float32',
    checkpoint: 'auto',
    ...options,
  });

test("transformers' file is imported and exported without a changed bit", async () => {
  const { out } = await importInto(['blip/model.safetensors']);
  const { files, normalisation } = await exportInto(out, 'hf');
  expect(files.length).toBe(3);
  expect(normalisation).toBe('clip');
  expect(contents(path('hf/model.safetensors'))).toEqual(contents(oracle('weights/blip/model.safetensors')));
});

test('the configuration says what transformers says of the same model', async () => {
  const { out } = await importInto(['blip/model.safetensors']);
  await exportInto(out, 'hf-config');
  const saved = json(oracle('weights/blip/config.json'));
  const ours = json(path('hf-config/config.json'));
  for (const part of ['text_config', 'vision_config'] as const) {
    const { label_smoothing, eos_token_id, sep_token_id, ...rest } = ours[part];
    expect(saved[part]).toMatchObject(rest);
  }
  expect(ours).toMatchObject({ model_type: saved.model_type, architectures: saved.architectures });
  const images = json(path('hf-config/preprocessor_config.json'));
  expect(images).toMatchObject({
    size: { height: 16, width: 16 },
    image_mean: [0.48145466, 0.4578275, 0.40821073],
  });
});

test('a file in 16 bits under the names of the reference comes back the same', async () => {
  const { out } = await importInto(['miss.pth'], { normalisation: 'reference' });
  await exportInto(out, 'miss.safetensors', { layout: 'miss', dtype: 'bfloat16' });
  const again = await importInto([path('miss.safetensors')], { strict: true });
  expect(again.plan.normalisation).toBe('reference');
  expect(contents(again.out)).toEqual(contents(out));
});

test.each([
  ['miss-folder', { layout: 'miss' }, /the reference has single files.*--out.*give a .safetensors file/s],
  [
    'x',
    { source: oracle('weights/blip/model.safetensors') },
    /does not say the sizes of its model.*--preset/s,
  ],
] as const)('%s: %j is refused', async (out, options, message) => {
  const { out: source } = await importInto(['blip/model.safetensors']);
  await expect(exportInto(source, out, options)).rejects.toThrow(message);
  expect(existsSync(join(path(out)))).toBe(false);
});
