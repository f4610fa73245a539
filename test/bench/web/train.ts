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
  /** questions and images that the page found */
  readonly plan: string;
  /** seconds that the page showed each of its states */
  readonly stages: ReadonlyMap<string, number>;
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

/** What the page says it does. */
export const states = {
  download: 'Downloading the model',
  compile: 'Preparing the model',
  images: 'Reading table and images',
  features: 'Computing what stays frozen',
  checking: 'Checking with the validation questions',
} as const;

/** How long the page shows what, until it says that the training is over. Looks four times a second. */
async function watchStates(page: Page): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (let last = performance.now(); ; ) {
    await page.waitForTimeout(250);
    const shown = (await page.getByRole('status').allInnerTexts()).join(' ');
    const now = performance.now();
    for (const [name, words] of Object.entries(states))
      if (shown.includes(words)) found.set(name, (found.get(name) ?? 0) + (now - last) / 1000);
    last = now;
    if (shown.includes('Finished')) return found;
  }
}

/** Trains on the first questions of the bundled data as a user does. */
export async function trainOnPage({ page }: Tab, folder: string, job: TrainingJob): Promise<PageTraining> {
  const data = join(folder, 'data');
  mkdirSync(data, { recursive: true });
  const { table, images } = await writeUserData(data, job);
  const button = (name: string) => page.getByRole('button', { name, exact: true });
  await page.getByRole('navigation').getByRole('button', { name: 'Fine-tune' }).click();
  await page.setInputFiles('input[accept*=csv]', table);
  await page.setInputFiles('input[webkitdirectory]', images);
  await page.getByLabel('Epochs').fill(`${job.epochs}`);
  if (job.batchSize) await page.getByLabel('Questions a step').fill(`${job.batchSize}`);
  const started = performance.now();
  await button('Start').click();
  const stages = await Promise.race([watchStates(page), problemsOf(page)]);
  const total = (performance.now() - started) / 1000;
  rmSync(data, { recursive: true });
  const plan = await page.getByText(/questions to learn from/).innerText();
  const log = await keptLog(page);
  return { steps: log.filter(({ type }) => type === 'step'), plan, stages, total };
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

/** Columns of the page's states. */
const secondsOf = ({ stages }: PageTraining, names: readonly (keyof typeof states)[]): Row =>
  Object.fromEntries(names.map((name) => [`${name} s`, stages.get(name) ?? 0]));

/** Two epochs of the bundled training split (its first questions, if limited) with the page's own settings. */
export async function epochRow(run: string, folder: string, limit: number): Promise<Row> {
  const tab = await openTab([run], '');
  try {
    const job = { train: limit, validation: limit, batchSize: undefined, epochs: 2 };
    const onPage = await trainOnPage(tab, folder, job);
    const perEpoch = onPage.steps.length / 2;
    const sum = (from: number) =>
      onPage.steps.slice(from, from + perEpoch).reduce((n, { seconds }) => n + seconds, 0);
    const threads = await tab.page.locator('[data-device]').innerText();
    return {
      data: onPage.plan,
      'computes on': threads,
      'steps/epoch': perEpoch,
      ...secondsOf(onPage, ['images', 'features']),
      'epoch 1 s': sum(0),
      'epoch 2 s': sum(perEpoch),
      '3 checks s': onPage.stages.get('checking') ?? 0,
      'all s': onPage.total,
      'last loss': onPage.steps.at(-1)!.loss,
      ...memoryColumns(await tab.memory()),
    };
  } finally {
    await tab.close();
  }
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
    ...secondsOf(onPage, ['download', 'compile', 'features']),
    's/step': median(onPage.steps.map(({ seconds }) => seconds)),
    'first loss': onPage.steps[0]!.loss,
    'last loss': onPage.steps.at(-1)!.loss,
    'off Node': off.map((each) => each.toExponential(0)).join(' '),
    ...memory,
  };
}
