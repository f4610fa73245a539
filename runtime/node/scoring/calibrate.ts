/** @file Fits a run's temperature and its threshold for abstaining, on the validation questions alone. */
import {
  calibrationError,
  correctnessLoss,
  fitTemperature,
  temperatureGrid,
} from '../../../datasets/scoring/calibration.js';
import { isSameAnswer } from '../../../datasets/scoring/normalise-answer.js';
import { chooseThreshold, riskCoverage } from '../../../datasets/scoring/selective.js';
import { type AskOptions, answerQuestions, openAsking, questionsOf } from '../evaluate.js';
import { type CalibrationFile, writeCalibration } from './calibration-file.js';

/**
 * Answers the validation questions and writes `eval/calibration.json`.
 *
 * The temperature divides the decoder's logits at every token of the answer that was found; it is the one whose
 * probabilities best predict which answers are right. The threshold answers as many validation questions as it
 * can with a share of wrong ones of at most `risk`.
 */
export async function calibrateRun(run: string, options: AskOptions, risk: number): Promise<CalibrationFile> {
  const asking = await openAsking(run, options);
  const { data, opened } = asking;
  const questions = questionsOf(data, { on: 'validation', ...(options.limit && { limit: options.limit }) });
  const { predictions } = await answerQuestions(asking, questions, {
    ...options,
    temperatures: temperatureGrid,
  });
  const correct = questions.map((q, i) => isSameAnswer(q.answer, predictions[i]!.answer));
  const tempered = predictions.map((p) => p.tempered!);
  const { temperature } = fitTemperature(tempered, correct);
  const at = temperatureGrid.indexOf(temperature);
  const fits = (confidences: number[]) => ({
    loss: correctnessLoss(confidences, correct),
    ece: calibrationError(confidences, correct).ece,
  });
  const calibrated = tempered.map((row) => Math.exp(row[at]!));
  const chosen = chooseThreshold(riskCoverage(calibrated, correct), questions.length, risk);
  const calibration: CalibrationFile = {
    format: 'mile-ort calibration 1',
    fingerprint: opened.fingerprint(),
    checkpoint: options.checkpoint,
    beams: options.beams ?? 3,
    data: options.data,
    split: options.split,
    splitSha256: data.splitHash,
    on: 'validation',
    n: questions.length,
    accuracy: correct.filter(Boolean).length / correct.length,
    temperature,
    before: fits(predictions.map((p) => p.probability)),
    after: fits(calibrated),
    abstain: {
      risk,
      threshold: chosen?.threshold ?? null,
      coverage: chosen?.coverage ?? 0,
      riskThere: chosen?.risk ?? 0,
    },
  };
  writeCalibration(run, calibration);
  return calibration;
}
