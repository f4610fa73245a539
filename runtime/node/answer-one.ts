/** @file One question about one image file. */
import type { FrameChoice } from '../../datasets/images/dicom/frames.js';
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import type { CheckpointName } from '../../training-artifacts/checkpoint/checkpoint.js';
import { readManifest } from '../../training-artifacts/graphs/manifest.js';
import type { AnswerOptions } from '../core/answerer.js';
import { type Prediction, predict } from '../core/predict.js';
import { ImageStore } from './images.js';
import { openRun } from './inference.js';

export interface Ask extends AnswerOptions {
  readonly image: string;
  readonly question: string;
  readonly checkpoint: CheckpointName | 'base' | 'auto';
  readonly threads?: number;
  /** of a DICOM file, or the slice of a folder with a series */
  readonly frame?: FrameChoice;
}

export interface OneAnswer extends Omit<Prediction, 'qid'> {
  readonly run: string;
  readonly image: string;
  readonly question: string;
  /** what the user should know of the image */
  readonly notes: readonly string[];
}

/**
 * The image is checked before anything is loaded.
 *
 * @throws {UserError} for an empty question; {FileError} for an image that does not decode or a damaged run.
 */
export async function answerOne(
  run: string,
  { image, question, checkpoint, threads, frame, ...options }: Ask,
): Promise<OneAnswer> {
  const { config, image: settings, text } = readManifest(run);
  const tokenizer = loadTokenizer();
  const { ids } = tokenizer.encodeQuestion(question, text.maxQuestionTokens);
  const images = new ImageStore(config.imageSize, settings.normalisation);
  const pixels = await images.readPixelValues(image, frame);
  const { answerer } = await openRun(run, checkpoint, threads);
  const sample = { qid: 'question', imageId: image, questionIds: ids, answerIds: [] };
  const [{ answer, probability, beams }] = (await predict(answerer, [sample], () => pixels, {
    ...options,
    tokenizer,
  })) as [Prediction];
  return { run, image, question, answer, probability, beams, notes: images.notes };
}
