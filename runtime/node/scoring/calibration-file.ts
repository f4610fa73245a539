/** @file eval/calibration.json: what validation says of a checkpoint's confidence. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FileError } from '../../../graph-builder/errors.js';
import { readJson, writeJson } from '../../../training-artifacts/files.js';

const share = z.number().min(0).max(1);

const calibrationSchema = z.strictObject({
  format: z.literal('mile-ort calibration 1'),
  /** what was calibrated: the weights that answer, and how */
  fingerprint: z.string(),
  checkpoint: z.string(),
  beams: z.number().int(),
  /** the questions that it was fitted on: those of validation, no others */
  data: z.string(),
  split: z.string(),
  splitSha256: z.string(),
  on: z.literal('validation'),
  n: z.number().int(),
  accuracy: share,
  /** divides the decoder's logits */
  temperature: z.number().positive(),
  /** −mean log-likelihood of being right or wrong, nats, and expected calibration error */
  before: z.strictObject({ loss: z.number(), ece: share }),
  after: z.strictObject({ loss: z.number(), ece: share }),
  /** the calibrated probability below which to abstain for a risk of at most `risk`; null: none is safe enough */
  abstain: z.strictObject({
    risk: share,
    threshold: share.nullable(),
    /** on validation at this threshold */
    coverage: share,
    riskThere: share,
  }),
});
export type CalibrationFile = z.infer<typeof calibrationSchema>;

export const calibrationPath = (run: string): string => join(run, 'eval', 'calibration.json');

export const writeCalibration = (run: string, calibration: CalibrationFile): void =>
  writeJson(calibrationPath(run), calibration);

/**
 * The calibration of a run, if it has one of these weights.
 *
 * @param fingerprint of the weights that answer; asked for only if there is a calibration.
 * @throws {FileError} when the file is damaged.
 */
export function readCalibration(run: string, fingerprint: () => string): CalibrationFile | undefined {
  const path = calibrationPath(run);
  if (!existsSync(path)) return undefined;
  const parsed = calibrationSchema.safeParse(readJson(path));
  if (!parsed.success) {
    const what = `not a calibration: ${parsed.error.issues[0]!.message}`;
    throw new FileError(what, path, 'delete it, or make it again: ort-eval --calibrate');
  }
  return parsed.data.fingerprint === fingerprint() ? parsed.data : undefined;
}

/** Whether an answer is below the threshold; never, where no threshold keeps the risk (nothing is safe: see `threshold`). */
export const abstains = ({ abstain }: CalibrationFile, calibrated: number): boolean =>
  abstain.threshold === null || calibrated < abstain.threshold;
