/** @file Fine-tuning on the page: the losses of Node, the time of a step, and the memory. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { writeUserData } from '../../browser/user-data.js';
import { median } from '../measure.js';
import type { Row } from '../table.js';
import { runBin } from './programs.js';
import { memoryColumns, openTab, problemsOf, type Tab } from './tab.js';

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
}

export interface PageTraining {
  readonly steps: readonly LogEntry[];
  /** seconds from Start to the first step: download, opening, images, frozen features */
  readonly before: number;
  /** seconds from Start to the end */
  readonly total: number;
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
  const lines = readFileSync(join(run, 'log', 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  return lines.map((line) => (JSON.parse(line) as { loss: number }).loss);
}

/** Trains one run folder on the page and in Node. */
export async function trainRow(name: string, run: string, folder: string, job: TrainingJob): Promise<Row> {
  const tab = await openTab([run]);
  let onPage: PageTraining;
  let memory: ReturnType<typeof memoryColumns>;
  try {
    onPage = await trainOnPage(tab, folder, job);
    memory = memoryColumns(await tab.memory());
  } finally {
    await tab.close();
  }
  const inNode = await trainInNode(run, job);
  const off = onPage.steps.map(({ loss }, i) => Math.abs(loss / inNode[i]! - 1));
  return {
    run: name,
    batch: job.batchSize ?? 16,
    steps: onPage.steps.length,
    's before': onPage.before,
    's/step': median(onPage.steps.map(({ seconds }) => seconds)),
    'first loss': onPage.steps[0]!.loss,
    'last loss': onPage.steps.at(-1)!.loss,
    'off Node': Math.max(...off).toExponential(1),
    ...memory,
  };
}
