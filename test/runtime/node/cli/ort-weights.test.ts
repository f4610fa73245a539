/** @file `ort-weights` as users start it: from a file of another program to a run, and back. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import {
  float32Tensor,
  withSafetensors,
  writeSafetensors,
} from '../../../../training-artifacts/weights/safetensors-file.js';
import { oracle } from '../../../support/golden.js';
import { runProgram, temporaryFolder, tinyBuild, tinySizes } from '../runs.js';

const folder = temporaryFolder();
const run = join(folder, 'run');
const manifest = emitVariant(tinyBuild, run);
const weights = join(run, 'model.safetensors');
const sizes = Object.entries(tinySizes).flatMap(([name, n]) => [
  `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`,
  `${n}`,
]);
const to = (name: string) => ['--preset', 'miss-tiny', ...sizes, '--out', join(folder, name)];

/** Runs a command that must succeed. */
async function weightsCommand(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram('ort-weights', args, folder);
  expect(code, stderr).toBe(0);
  return stdout;
}

test.each(['import', 'inspect', 'export'])('%s --help has examples and fits a terminal', async (command) => {
  const help = await weightsCommand(command, '--help');
  expect(help).toMatch(new RegExp(`Examples:\n +ort-weights ${command}`));
  for (const line of help.split('\n')) expect(line.length).toBeLessThanOrEqual(110);
});

test('an imported base has its normalisation with it into a run', async () => {
  const text = await weightsCommand('import', weights, '--normalisation', 'half', ...to('base.safetensors'));
  expect(text).toContain('safetensors, names of MISS or BLIP');
  expect(text).toMatch(/visual_encoder +18 +[\d,]+ +0 +0 +0 +0\n/);
  expect(text).toContain(
    `next: build-graph --preset miss-tiny --weights ${join(folder, 'base.safetensors')}`,
  );
  const built = await runProgram(
    'build-graph',
    [
      '--variant',
      'lora-r2',
      ...to('runs'),
      ...['--name', 'own', '--weights', join(folder, 'base.safetensors')],
    ],
    folder,
  );
  expect(built.code, built.stderr).toBe(0);
  const own = JSON.parse(readFileSync(join(folder, 'runs', 'own', 'manifest.json'), 'utf8'));
  expect(own.image.normalisation).toBe('half');
  expect(own.weights.source).toBe('file base.safetensors');
  const heads = (flag: string, i: number, all: readonly string[]) =>
    all[i - 1] === '--text-heads' ? '4' : flag;
  const flags = ['--variant', 'lora-r2', ...to('runs'), '--weights', join(folder, 'base.safetensors')];
  const refused = await runProgram('build-graph', [...flags.map(heads), '--name', 'other'], folder);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(
    /imported for 2 attention heads, the model has 4\n.*\n {2}to do: add --text-heads 2/,
  );
});

test('a run goes to transformers and comes back the same', async () => {
  const exported = await weightsCommand(
    'export',
    run,
    '--layout',
    'hf-blip',
    '--out',
    join(folder, 'hf'),
    '--json',
  );
  expect(JSON.parse(exported).files.map((f: string) => f.slice(folder.length + 1))).toEqual([
    'hf/model.safetensors',
    'hf/preprocessor_config.json',
    'hf/config.json',
  ]);
  const report = await weightsCommand(
    'import',
    join(folder, 'hf'),
    '--strict',
    '--json',
    ...to('back.safetensors'),
  );
  const { normalisation, tensors, left } = JSON.parse(report);
  expect({ normalisation, left }).toEqual({ normalisation: manifest.image.normalisation, left: [] });
  expect(tensors[0]).toMatchObject({
    kind: 'mapped',
    from: ['vision_model.embeddings.patch_embedding.weight'],
  });
  const read = (file: string) =>
    withSafetensors(file, (f) => f.float32('text_decoder.bert.encoder.layer.0.output.dense.weight'));
  expect(read(join(folder, 'back.safetensors'))).toEqual(read(weights));
});

test('inspect --json lists every tensor', async () => {
  const { kind, facts, tensors, modules } = JSON.parse(await weightsCommand('inspect', weights, '--json'));
  expect({ kind, layout: facts.layout }).toEqual({ kind: 'safetensors', layout: 'MISS or BLIP' });
  expect(tensors.length).toBe(18 + 31 + 34);
  const total = Object.values<{ parameters: number }>(modules).reduce((n, m) => n + m.parameters, 0);
  const base = Object.values(manifest.parameters.modules).reduce((n, m) => n + m.total, 0);
  expect(base - total).toBeGreaterThan(0); // the adapters
});

test('what is initialised, unused or refused is said', async () => {
  const vit = join(folder, 'vit.safetensors');
  const tensors = withSafetensors(weights, (f) =>
    [...f.header.tensors.keys()]
      .filter((name) => name.startsWith('visual_encoder.'))
      .map(
        (name) =>
          [
            name.slice('visual_encoder.'.length),
            float32Tensor(f.entry(name).shape, f.float32(name)),
          ] as const,
      ),
  );
  writeSafetensors(
    vit,
    new Map([...tensors, ['head.\u001b[31mweight', float32Tensor([1], new Float32Array(1))]]),
  );
  const text = await weightsCommand(
    'import',
    vit,
    '--normalisation',
    'imagenet',
    ...to('from-vit.safetensors'),
  );
  expect(text).toContain(
    'initialised: the sources do not have them\n  all of text_encoder\n  all of text_decoder',
  );
  expect(text).toContain('unused: the model has no place for them\n  1 x head.?[31mweight');
  expect(text).not.toContain('\u001b');
  const args = ['import', vit, '--normalisation', 'imagenet', '--strict', ...to('strict.safetensors')];
  const strict = await runProgram('ort-weights', args, folder);
  expect(strict.code).toBe(2);
  expect(strict.stderr).toMatch(/tensors would be initialised and 1 are unused/);
  expect(existsSync(join(folder, 'strict.safetensors'))).toBe(false);
  expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

test.each([
  [run, 'run folder', ['variant: lora-r2', 'normalisation: imagenet', 'checkpoints: ']],
  [
    join(run, 'training_model.onnx'),
    'ONNX model',
    ['external data: model.safetensors', 'opsets: {"ai.onnx":18'],
  ],
  [oracle('weights/miss.pth'), 'PyTorch (legacy)', ['layout: MISS or BLIP', 'under: model']],
  [
    oracle('peft/golden/text_encoder'),
    'PEFT adapter',
    ['peft_type: LORA', 'r: 4', 'target_modules: key, query'],
  ],
  [oracle('peft/golden'), 'PEFT adapters, one a module', ['visual_encoder: {"peft_type":"LORA"']],
])('inspect %s', async (path, kind, lines) => {
  const text = await weightsCommand('inspect', path);
  expect(text.split('\n')[0]).toContain(`: ${kind}, `);
  for (const line of lines) expect(text).toContain(line);
});
