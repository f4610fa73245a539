/** @file One question about one image, answered by several adapters on one base. */
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import { type Prediction, predict } from '../core/predict.js';
import type { Ask } from './answer-one.js';
import { ImageStore } from './images.js';
import {
  adapterFolder,
  adapterLabels,
  type LoadedModel,
  loadAdapterFolder,
  loadModel,
  type ModelSource,
} from './load-model.js';

export interface AdapterAnswer extends Pick<Prediction, 'answer' | 'probability' | 'beams'> {
  readonly adapter: string;
  readonly folder: string;
  readonly image: string;
  readonly question: string;
  /** milliseconds from the folder to a loaded adapter; graphs that had to be opened for it; and to answer */
  readonly loadMs: number;
  readonly newSessions: number;
  readonly answerMs: number;
  /** what the user should know of the image */
  readonly notes: readonly string[];
  /** why its answers may mean nothing on this base */
  readonly warning?: string;
}

/**
 * In the order of `folders`. The image is checked before anything is loaded, all adapters before anything is
 * answered; image states are computed once for all adapters that leave the image encoder alone.
 *
 * @throws {UserError} for an empty question; {FileError} for an image that does not decode, a damaged or foreign
 * adapter or run.
 */
export async function answerWithAdapters(
  source: ModelSource,
  folders: readonly string[],
  {
    image,
    question,
    threads,
    frame,
    ...options
  }: Omit<Ask, 'checkpoint' | 'candidates' | 'topK' | 'explain'>,
): Promise<AdapterAnswer[]> {
  const loaded: LoadedModel = loadModel(source, threads);
  const { config, normalisation, maxQuestionTokens, model } = loaded;
  const tokenizer = loadTokenizer();
  const { ids } = tokenizer.encodeQuestion(question, maxQuestionTokens);
  const images = new ImageStore(config.imageSize, normalisation);
  const pixels = await images.readPixelValues(image, frame);
  const labels = adapterLabels(folders);
  const loads = [];
  for (const [i, label] of labels.entries()) {
    const folder = adapterFolder(folders[i]!);
    loads.push({ adapter: label, folder, ...(await loadAdapterFolder(loaded, label, folder)) });
  }
  const sample = { qid: 'question', imageId: image, questionIds: ids, answerIds: [] };
  const answers: AdapterAnswer[] = [];
  for (const load of loads) {
    const started = performance.now();
    const [prediction] = await predict(model.answerer(load.adapter), [sample], () => pixels, {
      ...options,
      tokenizer,
    });
    const { answer, probability, beams } = prediction!;
    const answerMs = performance.now() - started;
    answers.push({ ...load, image, question, answer, probability, beams, answerMs, notes: images.notes });
  }
  return answers;
}
