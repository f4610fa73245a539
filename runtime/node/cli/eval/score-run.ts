/** @file `ort-eval` of a run. */
import type { CalibrationFile } from '../../scoring/calibration-file.js';
import type { EvalFlags } from '../ort-eval.js';
import { abstainingLine, definitionsText, measuresText, percent } from '../scores-table.js';
import { answerBar, askOptions, measuresOf } from './flags.js';

const calibrationText = ({ n, temperature, before, after, abstain }: CalibrationFile): string =>
  [
    `calibrated on ${n} validation questions: temperature ${temperature.toFixed(2)}, calibration error ${percent(before.ece)}% to ${percent(after.ece)}%`,
    abstain.threshold === null
      ? `no threshold answers at least 20 of them with at most ${percent(abstain.risk)}% wrong: ort-answer will always say that it abstains`
      : `abstains below ${percent(abstain.threshold)}%: answers ${percent(abstain.coverage)}% of them, ${percent(abstain.riskThere)}% of these wrong`,
  ].join('\n');

/** Calibrates if asked to, answers, scores, writes predictions and report, prints tables. */
export async function scoreRun(flags: EvalFlags): Promise<void> {
  const { newestRun } = await import('../../runs.js');
  const { evaluateRun } = await import('../../evaluate.js');
  const measures = measuresOf(flags);
  const bar = answerBar();
  const run = flags.run ?? newestRun();
  const options = { ...(await askOptions(flags, run)), onProgress: bar.update };
  if (flags.calibrate) {
    const { calibrateRun } = await import('../../scoring/calibrate.js');
    const calibration = await calibrateRun(run, options, flags.abstainRisk);
    bar.stop();
    if (!flags.json) console.log(`${calibrationText(calibration)}\n`);
  }
  const { evaluation, rows, asking } = await evaluateRun(run, { ...options, measures });
  bar.stop();
  let report: string | undefined;
  if (flags.report) {
    const { writeEvaluationReport } = await import('../../scoring/report.js');
    report = await writeEvaluationReport(evaluation, rows, (id) => asking.data.dataset.imagePath(id));
  }
  if (flags.json) return console.log(JSON.stringify({ ...evaluation, ...(report && { report }) }));
  const { checkpoint, on, data, split, splitSha256, predictions, abstaining, candidates } = evaluation;
  console.log(
    `${run}, checkpoint ${checkpoint}, ${on} questions of ${data} (${split} split, sha256 ${splitSha256.slice(0, 12)})`,
  );
  for (const note of evaluation.notes) console.log(`  ${note}`);
  if (candidates) console.log(`ranks ${candidates.n} candidates (${candidates.source})`);
  console.log(`\n${measuresText(evaluation)}`);
  if (abstaining) console.log(abstainingLine(abstaining, rows.length));
  console.log(`\n${definitionsText(measures)}\npredictions ${predictions}`);
  if (report) console.log(`report ${report}`);
}
