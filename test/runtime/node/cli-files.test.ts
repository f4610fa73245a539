/** @file Damaged and missing files, full disks: one clear message, exit code 2, nothing left or lost on disk. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import { float32Tensor, writeSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';
import {
  copyOf,
  expectMessage,
  instead,
  runProgram,
  temporaryFolder,
  tinyBuild,
  tinyFlags,
  writeDeepGrey,
} from './runs.js';

const folder = temporaryFolder();
/** a built run and one with a checkpoint */
const [built, trained] = [join(folder, 'built'), join(folder, 'trained')];
const image = join(folder, 'grey16.png');

beforeAll(async () => {
  emitVariant(tinyBuild, built);
  cpSync(built, trained, { recursive: true });
  const flags = ['--run', trained, '--limit', '8', '--batch-size', '8', '--epochs', '1', '--eval-every', '0'];
  const { code, stderr } = await runProgram('ort-train', flags, folder);
  expect(code, stderr).toBe(0);
  await writeDeepGrey(image);
});

describe.concurrent('files', () => {
  test('damaged manifests', async () => {
    const whole = readFileSync(join(built, 'manifest.json'), 'utf8');
    const damages: [string, RegExp][] = [
      [whole.slice(0, 700), /^not JSON: .*\n.*manifest\.json\n/],
      ['', /^not JSON: /],
      ['[]', /manifest\.json\n.*build the run again/],
      [whole.replace('"hidden": 32', '"hidden": "32"'), /at config\.hidden\n/],
      [whole.replace('"rank": 2', '"rank": 0'), /at variant\.modules\.text_encoder\.rank\n/],
      [whole.replace('mile-ort run 2', 'mile-ort run 1'), /at format\n/],
    ];
    for (const [text, message] of damages) {
      const run = copyOf(built);
      writeFileSync(join(run, 'manifest.json'), text);
      await expectMessage('ort-eval', ['--run', run], message, run);
    }
  });

  test('damaged graphs', async () => {
    const run = copyOf(built);
    truncateSync(join(run, 'question_encoder.onnx'), 1000);
    const args = ['--run', run, '--image', image, '--question', 'why?'];
    await expectMessage(
      'ort-answer',
      args,
      /^cannot load the graph: .*\n.*question_encoder\.onnx\n.*build-graph/,
      run,
    );
    rmSync(join(run, 'image_encoder.onnx'));
    await expectMessage('ort-answer', args, /image_encoder\.onnx\n/, run);
  });

  test('base weights that are gone, cut short or of another model', async () => {
    const run = copyOf(built);
    const weights = join(run, 'model.safetensors');
    const args = ['--run', run, '--image', image, '--question', 'why?'];
    truncateSync(weights, 3_000_000);
    await expectMessage('ort-answer', args, /hash differs/, run);
    rmSync(weights);
    await expectMessage('ort-answer', args, /^the base weights are missing\n.*model\.safetensors\n/, run);
    await expectMessage('ort-train', ['--run', run], /^the base weights are missing/, run);
  });

  test('--weights FILE that does not fit the model', async () => {
    const own = temporaryFolder();
    const file = join(own, 'w.safetensors');
    const build = (message: RegExp, flags = instead('random', file)) =>
      expectMessage('build-graph', flags, message, own);
    cpSync(join(built, 'model.safetensors'), file);
    const wider = instead('random', file).with(tinyFlags.indexOf('64'), '128');
    await build(/ is F32 \[.*64.*\], the model needs F32 \[.*128.*\]\n.*w\.safetensors\n/, wider);
    truncateSync(file, 3_000_000);
    await build(/^the file is cut short/);
    truncateSync(file, 300);
    await build(/^not a safetensors file, or cut short/);
    truncateSync(file, 0);
    await build(/^not a safetensors file/);
    writeSafetensors(file, new Map([['w', float32Tensor([1], new Float32Array(1))]]));
    await build(/^no tensor \S+\n.*w\.safetensors\n.*belongs to this model/);
    rmSync(file);
    await build(/ENOENT/);
  });

  test('images that are empty, damaged, of another kind or a folder', async () => {
    const own = temporaryFolder();
    const bytes = readFileSync(image);
    const images: [string, Uint8Array, RegExp][] = [
      ['empty.png', new Uint8Array(0), /^the image file is empty\n.*empty\.png\n/],
      [
        'text.png',
        Buffer.from('hello'),
        /^the image cannot be decoded: .*\n.*text\.png\n.*PNG, JPEG, WebP, TIFF or DICOM/,
      ],
      ['cut.png', bytes.subarray(0, bytes.length / 2), /^the image cannot be decoded/],
      [
        'scan.dcm',
        Buffer.concat([Buffer.alloc(128), Buffer.from('DICM0123')]),
        /^the DICOM file is damaged or cut off\n/,
      ],
    ];
    for (const [name, content, message] of images) {
      writeFileSync(join(own, name), content);
      await expectMessage(
        'ort-answer',
        ['--run', built, '--image', name, '--question', 'why?'],
        message,
        own,
      );
    }
    await expectMessage(
      'ort-answer',
      ['--run', built, '--image', '.', '--question', 'why?'],
      /this is a folder/,
      own,
    );
  });

  test('damaged checkpoints', async () => {
    const run = copyOf(trained);
    const file = join(run, 'checkpoint', 'last.safetensors');
    const whole = readFileSync(file);
    const replaced = (from: string, to: string) => {
      const at = whole.indexOf(from);
      expect(at).toBeGreaterThan(0);
      return Buffer.concat([whole.subarray(0, at), Buffer.from(to), whole.subarray(at + from.length)]);
    };
    const damages: [Buffer, RegExp][] = [
      [whole.subarray(0, 5000), /^not a safetensors file, or cut short/],
      [whole.subarray(0, whole.length - 1), /^the file is cut short/],
      [Buffer.from('garbage garbage garbage'), /^not a safetensors file/],
      [replaced('batches', 'botches'), /^not a checkpoint of this program/],
      [replaced('\\"step\\":', '\\"step\\";'), /^not a checkpoint of this program/],
      [
        replaced('mile-ort', '\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000'),
        /^the safetensors header is not JSON/,
      ],
      [readFileSync(join(run, 'model.safetensors')), /^(no tensor|not a checkpoint)/],
    ];
    for (const [bytes, message] of damages) {
      writeFileSync(file, bytes);
      await expectMessage('ort-train', ['--run', run, '--resume'], message, run);
    }
    await expectMessage(
      'ort-train',
      ['--run', run],
      /^the run has a checkpoint already\n.*\n.*--resume .*--overwrite/,
      run,
    );
  });

  test('a failed build keeps the run that it was to overwrite', async () => {
    const own = temporaryFolder();
    cpSync(trained, join(own, 'runs', 'lora-r2-tpp'), { recursive: true });
    const flags = [...tinyFlags, '--overwrite'];
    await expectMessage('ort-train', [...flags, '--sites', 'none.*'], /^the pattern/, own);
    const bad = flags.with(flags.indexOf('random'), join(own, 'none.safetensors'));
    await expectMessage('ort-train', bad, /ENOENT/, own);
    await expectMessage('build-graph', tinyFlags, /^the run has a checkpoint already\n.*lora-r2-tpp\n/, own);
    const inside = instead('random', 'runs/lora-r2-tpp/model.safetensors');
    rmSync(join(own, 'runs', 'lora-r2-tpp', 'checkpoint'), { recursive: true });
    await expectMessage('build-graph', inside, /^the weights lie in the folder that the run replaces/, own);
  });

  test('a folder that is no run is never replaced', async () => {
    const own = temporaryFolder();
    mkdirSync(join(own, 'letters'));
    writeFileSync(join(own, 'letters', 'dear.txt'), 'x');
    const flags = [...tinyFlags, '--out', '.', '--name'];
    await expectMessage(
      'build-graph',
      [...flags, 'letters'],
      /^the folder has files and is not a run\n/,
      own,
    );
    await expectMessage('build-graph', [...flags, 'letters/dear.txt'], /a part of it is a file/, own);
    await expectMessage('build-graph', [...flags, 'letters/dear.txt/run'], /cannot write/, own);
  });
});

/** Why this machine cannot mount a file system of a size, if so. */
const noMount = ((): string | undefined => {
  const probe = temporaryFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe], { stdio: 'ignore' });
    execFileSync('umount', [probe]);
    return undefined;
  } catch {
    return 'mounting a tmpfs needs root';
  }
})();

describe.skipIf(noMount)('disks (skipped where mounting a tmpfs is not permitted)', () => {
  const mounted: string[] = [];
  const mount = (options: string): string => {
    const disk = temporaryFolder();
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk]);
    mounted.push(disk);
    return disk;
  };
  afterAll(() => {
    for (const disk of mounted) execFileSync('umount', [disk]);
  });

  test('a full disk while building', async () => {
    const disk = mount('size=1m');
    await expectMessage(
      'build-graph',
      [...tinyFlags, '--out', join(disk, 'runs')],
      /ENOSPC.*\n.*\n.*free some disk space/,
      disk,
    );
    expect(readdirSync(disk)).toEqual([]);
  });

  test('a full disk while saving a checkpoint: the one before stays', async () => {
    const disk = mount('size=40m');
    const run = join(disk, 'run');
    cpSync(trained, run, { recursive: true });
    const before = readFileSync(join(run, 'checkpoint', 'last.safetensors'));
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(join(disk, 'filler'), new Uint8Array(bavail * bsize - 200_000));
    // one step more than the checkpoint has, so that there is something to save
    const resumed = ['--run', run, '--resume'];
    writeFileSync(join(run, 'checkpoint', 'last.safetensors'), withEpochs(before, 9));
    const { code, stderr } = await runProgram('ort-train', resumed, disk);
    expect(stderr).toMatch(
      /cannot write \(ENOSPC\)\n {2}where: .*last\.safetensors\n {2}to do: free some disk space/,
    );
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(2);
    expect(readdirSync(join(run, 'checkpoint'))).toEqual(['last.safetensors']);
    rmSync(join(disk, 'filler'));
    expect((await runProgram('ort-train', resumed, disk)).code).toBe(0);
  });

  /** A checkpoint whose run has more epochs to go; `epochs` has one digit. */
  function withEpochs(checkpoint: Buffer, epochs: number): Buffer {
    const bytes = Buffer.from(checkpoint);
    const key = '\\"epochs\\":';
    bytes[bytes.indexOf(key) + key.length] = `${epochs}`.charCodeAt(0);
    return bytes;
  }

  test('a folder that cannot be written', async () => {
    const disk = mount('size=1m,ro');
    await expectMessage(
      'build-graph',
      [...tinyFlags, '--out', disk],
      /EROFS.*\n.*\n.*choose a folder that can be written/,
      disk,
    );
  });
});
