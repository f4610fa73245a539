/** @file One question about one image file. */
import type { FrameChoice } from '../../datasets/images/dicom/frames.js';
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import type { VqaTokenizer } from '../../datasets/tokenizer.js';
import type { CheckpointName } from '../../training-artifacts/checkpoint/checkpoint.js';
import { readManifest } from '../../training-artifacts/graphs/manifest.js';
import type { AnswerOptions } from '../core/answerer.js';
import type { DeletionOptions } from '../core/explain.js';
import { type Prediction, predict } from '../core/predict.js';
import { loadData } from './data.js';
import { decodeImage } from './decode-image.js';
import type { ExplainedImage } from './explain.js';
import { ImageStore } from './images.js';
import { type OpenedRun, openRun } from './inference.js';
import { abstains, readCalibration } from './scoring/calibration-file.js';
import { loadCandidates } from './scoring/candidates.js';
import { trainedOn } from './trained-on.js';

export interface Ask extends AnswerOptions {
  readonly image: string;
  readonly question: string;
  readonly checkpoint: CheckpointName | 'base' | 'auto';
  readonly threads?: number;
  /** rank mode: a file of answers to choose from, or `train` */
  readonly candidates?: string;
  readonly topK?: number;
  /** also writes where the answer comes from, to this PNG and a JSON file beside it */
  readonly explain?: DeletionOptions & { readonly png: string };
  /** of a DICOM file, or the slice of a folder with a series */
  readonly frame?: FrameChoice;
}

export interface OneAnswer extends Pick<Prediction, 'answer' | 'probability' | 'beams'> {
  readonly run: string;
  readonly image: string;
  readonly question: string;
  /** the probability after temperature scaling, where the run has a calibration of this checkpoint */
  readonly calibrated?: number;
  /** whether that is below the threshold of validation */
  readonly abstains?: boolean;
  readonly explanation?: { readonly png: string; readonly json: string } & Pick<ExplainedImage, 'deletion'>;
  /** what the user should know of the image */
  readonly notes: readonly string[];
}

/** Answers of the questions that the run was trained on. */
async function trainAnswers(run: string): Promise<readonly string[]> {
  const { data = 'vqa-rad', split = 'official', ...columns } = trainedOn(run, {});
  const { train } = await loadData({ ...columns, data, split, frame: false });
  return train.map((q) => q.answer);
}

/** Heat maps of an answer, written down. */
async function explain(
  run: string,
  opened: OpenedRun,
  pixels: Float32Array,
  found: Prediction,
  {
    image,
    question,
    threads,
    questionIds,
    frame,
    png,
    ...options
  }: Pick<Ask, 'image' | 'question' | 'threads' | 'frame'> &
    NonNullable<Ask['explain']> & { readonly questionIds: readonly number[] },
): Promise<OneAnswer['explanation']> {
  const { explainOne, writeExplanation } = await import('./explain.js');
  const asked = { questionIds, answerIds: found.answerIds };
  const explained = await explainOne(run, opened, pixels, asked, { ...options, ...(threads && { threads }) });
  const { answer, probability } = found;
  const shown = await decodeImage(image, { ...(frame && { frame }) });
  const files = await writeExplanation(png, shown, explained, {
    question,
    answer,
    probability,
  });
  return { ...files, deletion: explained.deletion };
}

const candidatesOf = (run: string, source: string, tokenizer: VqaTokenizer, maxTokens: number) =>
  loadCandidates(source, () => trainAnswers(run), tokenizer, maxTokens);

/**
 * The image is checked before anything is loaded.
 *
 * @throws {UserError} for an empty question; {FileError} for an image that does not decode or a damaged run.
 */
export async function answerOne(
  run: string,
  { image, question, checkpoint, threads, frame, candidates, explain: explaining, ...options }: Ask,
): Promise<OneAnswer> {
  const { config, image: settings, text } = readManifest(run);
  const tokenizer = loadTokenizer();
  const { ids } = tokenizer.encodeQuestion(question, text.maxQuestionTokens);
  const chosen =
    candidates === undefined
      ? undefined
      : await candidatesOf(run, candidates, tokenizer, text.maxAnswerTokens);
  const images = new ImageStore(config.imageSize, settings.normalisation);
  const pixels = await images.readPixelValues(image, frame);
  const opened = await openRun(run, checkpoint, threads);
  const calibration = chosen ? undefined : readCalibration(run, opened.fingerprint);
  const sample = { qid: 'question', imageId: image, questionIds: ids, answerIds: [] };
  const [found] = (await predict(opened.answerer, [sample], () => pixels, {
    ...options,
    tokenizer,
    ...(chosen && { candidates: chosen }),
    ...(calibration && { temperatures: [calibration.temperature] }),
  })) as [Prediction];
  const calibrated = calibration && Math.exp(found.tempered![0]!);
  const explanation =
    explaining &&
    (await explain(run, opened, pixels, found, {
      ...explaining,
      image,
      question,
      questionIds: ids,
      ...(threads && { threads }),
      ...(frame && { frame }),
    }));
  const { answer, probability, beams } = found;
  return {
    run,
    image,
    question,
    answer,
    probability,
    ...(calibrated !== undefined && { calibrated, abstains: abstains(calibration!, calibrated) }),
    beams,
    ...(explanation && { explanation }),
    notes: images.notes,
  };
}
