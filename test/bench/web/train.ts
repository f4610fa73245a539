/** @file Fine-tuning on the page: the losses of Node, the time of a step, and the memory. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { writeUserData } from '../../browser/user-data.js';
import { runBin } from './programs.js';
import { problemsOf, type Tab } from './tab.js';

export interface TrainingJob {
  readonly train: number;
  readonly validation: number;
  readonly batchSize: number | undefined;
  readonly epochs: number;
}

/** An entry of the training's log. */
export interface LogEntry {
  readonly type: 'step' | 'evaluation';
  readonly step: number;
  readonly loss: number;
  readonly seconds: number;
  /** since Start, until the page was told */
  readonly at: number;
}

export interface PageTraining {
  readonly steps: readonly LogEntry[];
  /** when each epoch's evaluation (or last step) was over, seconds after Start */
  readonly total: number;
  /** until the first step: download, opening, images, frozen features */
  readonly before: number;
}

/** The training's log as the browser keeps it. */
const keptLog = (page: Page): Promise<LogEntry[]> =>
  page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const opening = indexedDB.open('mile-ort-training');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const asked = opening.result.transaction('kept').objectStore('kept').get('state');
          asked.onsuccess = () => resolve(asked.result?.log ?? []);
        };
      }),
  );

/** Trains on the first questions of the bundled data as a user does. */
export async function trainOnPage({ page }: Tab, folder: string, job: TrainingJob): Promise<PageTraining> {
  const data = join(folder, 'data');
  mkdirSync(data, { recursive: true });
  const { table, images } = await writeUserData(data, job);
  const problems = problemsOf(page);
  const until = (work: Promise<unknown>) => Promise.race([work, problems]);
  const button = (name: string) => page.getByRole('button', { name, exact: true });
  await page.getByRole('navigation').getByRole('button', { name: 'Fine-tune' }).click();
  await page.setInputFiles('input[accept*=csv]', table);
  await page.setInputFiles('input[webkitdirectory]', images);
  await page.getByLabel('Epochs').fill(`${job.epochs}`);
  if (job.batchSize) await page.getByLabel('Questions a step').fill(`${job.batchSize}`);
  const started = performance.now();
  const since = () => (performance.now() - started) / 1000;
  await button('Start').click();
  await until(page.getByText(/Step \d+ of \d+/).waitFor({ timeout: 0 }));
  const before = since();
  await until(page.getByText('Finished').waitFor({ timeout: 0 }));
  const total = since();
  rmSync(data, { recursive: true });
  const log = await keptLog(page);
  return { steps: log.filter(({ type }) => type === 'step'), before, total };
}

/** The same training in Node. */
export async function trainInNode(run: string, { train, batchSize, epochs }: TrainingJob): Promise<number[]> {
  const flags = ['--limit', `${train}`, '--batch-size', `${batchSize}`, '--epochs', `${epochs}`];
  await runBin('ort-train', ['--run', run, ...flags, '--eval-every', '0', '--overwrite']);
  return lossesOf(run);
}
