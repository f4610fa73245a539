/** @file What the user's actions on the training do. */
import { proxy } from 'comlink';
import { OWN } from '../../core/served-runs.js';
import { attempt, load, setAdapters, theWorker } from './actions.js';
import { pickFolder } from './choose-folder.js';
import { measureMemory } from './memory.js';
import type { TuneEvents } from './protocol.js';
import { change, state, text } from './state.js';
import { changeTune, clearTune, isTraining, tune } from './tune-state.js';

const events: TuneEvents = (event) => {
  if (event.type === 'step' && event.step % 10 === 0) void measureMemory();
  if (event.type === 'step') changeTune({ state: 'training', steps: [...tune.steps, event] });
  else if (event.type === 'evaluation') changeTune({ evaluations: [...tune.evaluations, event] });
  else if (event.type === 'not-kept') changeTune({ isLost: true });
  else changeTune({ state: event.state, done: event.done, total: event.total });
};

/** Shows a training of an earlier visit. */
export async function findKept(): Promise<void> {
  const kept = await theWorker().keptTraining();
  if (!kept || !state.runs.some(({ name }) => name === kept.run)) return;
  changeTune({
    run: kept.run,
    options: kept.options,
    plan: kept.plan,
    steps: kept.log.filter((e) => e.type === 'step'),
    evaluations: kept.log.filter((e) => e.type === 'evaluation'),
    state: kept.isDone ? 'done' : 'paused',
    isKept: true,
  });
}

/** Asks for the folder of images; what was chosen stays when the user cancels. */
export async function chooseImages(): Promise<void> {
  const folder = await attempt(pickFolder);
  if (folder) changeTune({ images: folder.files, folder: folder.name });
}

async function train(): Promise<void> {
  changeTune({ state: 'training', isKept: false, isUsed: false });
  await theWorker().train(tune.run!, proxy(events));
}

/** Work on a training; an error leaves it as it was before. */
async function guarded(work: () => Promise<void>): Promise<void> {
  const before = tune.steps.length > 0 ? 'paused' : 'form';
  await attempt(work);
  if (isTraining()) changeTune({ state: before });
}

export const startTraining = (): Promise<void> =>
  guarded(async () => {
    const { run, table, images, options } = tune;
    if (!run || !table) return;
    await load({ run, adapter: OWN });
    clearTune();
    changeTune({ state: 'reading' });
    const plan = await theWorker().prepareTraining({ run, table, images, options }, proxy(events));
    changeTune({ plan });
    await train();
  });

export const continueTraining = (): Promise<void> =>
  guarded(async () => {
    await load({ run: tune.run!, adapter: OWN });
    await train();
  });

export const pauseTraining = (): Promise<void> => attempt(() => theWorker().pauseTraining()).then(() => {});

export async function stopTraining(): Promise<void> {
  await attempt(() => theWorker().discardTraining());
  clearTune();
}

/** The adapter as a file. */
export async function saveAdapter(): Promise<void> {
  await attempt(async () => {
    await load({ run: tune.run!, adapter: OWN });
    const bytes = await theWorker().adapterZip(tune.run!);
    const url = URL.createObjectURL(new Blob([bytes], { type: 'application/zip' }));
    const link = Object.assign(document.createElement('a'), {
      href: url,
      download: `${tune.run}-adapter.zip`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  });
}

/** Answers with what was trained. */
export async function useTrained(): Promise<void> {
  await attempt(async () => {
    const run = tune.run!;
    await load({ run, adapter: OWN });
    const name = text().tune.adapter(tune.steps.at(-1)?.step ?? 0);
    const opened = await theWorker().useTrained(run, name);
    setAdapters(opened.run, opened.adapters);
    changeTune({ isUsed: true });
    change({ first: { run, adapter: name } });
  });
}
