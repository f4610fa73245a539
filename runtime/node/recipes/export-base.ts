/** @file A trained run as base weights that ship: float16 tensors and the record of how they were made. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { baseTrainingQuestions } from '../../../datasets/vqa-rad/base-split.js';
import { loadVqaRad } from '../../../datasets/vqa-rad.js';
import { readCheckpoint } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { writeJson } from '../../../training-artifacts/files.js';
import { readManifest } from '../../../training-artifacts/graphs/manifest.js';
import { toHalf } from '../../../training-artifacts/weights/half.js';
import { expandHalf, sha256 } from '../../../training-artifacts/weights/pretrained.js';
import { type LazyTensor, writeSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';

/** Hash of the float32 file that the float16 one expands to. */
function expandedHash(half: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-'));
  try {
    const file = join(folder, 'expanded.safetensors');
    expandHalf(half, file);
    return sha256(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Writes `<folder>/<preset>.safetensors` (float16) and `<preset>.json` from the last checkpoint of a `full`
 * run: hashes, settings, and the qids and images that training saw.
 */
export function exportBase(run: string, folder: string): string {
  const manifest = readManifest(run);
  const { tensors, state } = readCheckpoint(run, 'last', manifest);
  const half = join(folder, `${manifest.preset}.safetensors`);
  const lazy = [...tensors].map(([name, { shape, value }]): [string, LazyTensor] => [
    name,
    { dtype: 'F16', shape, bytes: () => new Uint8Array(toHalf(value).buffer) },
  ]);
  writeSafetensors(half, new Map(lazy), { format: 'pt' });
  const { qids, pretextImages } = baseTrainingQuestions(loadVqaRad().questions);
  writeJson(join(folder, `${manifest.preset}.json`), {
    preset: manifest.preset,
    normalisation: manifest.image.normalisation,
    licence: 'Apache-2.0; trained on VQA-RAD (CC0-1.0) alone',
    sha256: sha256(half),
    expandedSha256: expandedHash(half),
    madeBy: 'npm run make:base',
    options: state.options,
    updates: state.step,
    environment: state.environment,
    seen: { questions: qids, pretextImages },
  });
  return half;
}
