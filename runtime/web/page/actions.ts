/** @file What the user's actions do. */
import type { Remote } from 'comlink';
import { OWN, type ServedRuns } from '../../core/served-runs.js';
import type { Note } from '../model.js';
import { callable, connect, pageFolder } from './connection.js';
import { problemOf } from './format.js';
import { measureMemory } from './memory.js';
import type { Events, PageWorker } from './protocol.js';
import {
  type Choosable,
  change,
  type Given,
  isOpen,
  keyOf,
  type Language,
  runOf,
  state,
  text,
} from './state.js';

let worker: Remote<PageWorker>;
export const theWorker = (): Remote<PageWorker> => worker;

/** Shows an error instead of losing it. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  change({ problem: undefined });
  try {
    return await work();
  } catch (error) {
    change({ problem: problemOf(error), busy: undefined });
    return undefined;
  }
}

export function note(added: Note): void {
  change({ notes: new Set([...state.notes, added]) });
  if (added === 'device-lost' && state.choice) change({ choice: { ...state.choice, device: 'wasm' } });
}

export const events: Events = (event) => {
  if (event.stage === 'note') note(event.note);
  else change({ busy: event.done < event.total ? event : undefined });
};

async function readRuns(): Promise<ServedRuns['runs']> {
  const response = await fetch(new URL('runs.json', pageFolder));
  if (!response.ok) throw new Error(`${text().noRuns} (${response.status})`);
  return ((await response.json()) as ServedRuns).runs;
}

/** Finds the models and what computes. */
export async function start(): Promise<void> {
  await attempt(async () => {
    worker = await connect();
    // before there is a button to press: the worker must know where the page lies
    const choosing = worker.start(pageFolder, new URLSearchParams(location.search).get('device'));
    choosing.catch(() => undefined); // said below
    const runs = await readRuns();
    const [first, other] = runs;
    change({ runs, first: first && { run: first.name, adapter: OWN } });
    if (other && new URLSearchParams(location.search).has('compare'))
      change({ second: { run: other.name, adapter: OWN } });
    const kept = await Promise.all(runs.map((run) => worker.isKept(run.weights.sha256)));
    change({ kept: new Set(runs.filter((_, i) => kept[i]).map(({ name }) => name)) });
    change({ choice: await choosing });
    if (first && kept[0]) await load(state.first!);
  });
}

/** Opens a model if that was not done yet. */
export async function load(which: Choosable): Promise<void> {
  if (isOpen(which)) return;
  const run = runOf(which);
  change({ busy: { stage: 'download', done: 0, total: run.weights.bytes } });
  const opened = await worker.open(run, callable(events));
  change({
    busy: undefined,
    choice: opened.choice,
    opened: new Map([...state.opened, [run.name, opened.adapters]]),
    kept: new Set([
      ...state.kept,
      ...state.runs.filter((r) => r.weights.sha256 === run.weights.sha256).map((r) => r.name),
    ]),
  });
}

/** Chooses the first or the second model; one whose base is in the browser is opened at once. */
export async function choose(place: 'first' | 'second', which: Choosable | undefined): Promise<void> {
  change({ [place]: which });
  if (which && state.kept.has(which.run) && state.opened.size > 0) await attempt(() => load(which));
}

let images = 0;

export async function showImage(file: File): Promise<void> {
  await attempt(async () => {
    images += 1;
    const id = images;
    change({ busy: { stage: 'decode', done: 0, total: 1 } });
    const { preview = file, notes } = await worker.hold(id, file);
    const image = { id, name: file.name, url: URL.createObjectURL(preview), notes };
    change({ busy: undefined, image });
  });
}

/** Asks the chosen models, one after the other. */
export async function ask(): Promise<void> {
  const { image, question, first, second } = state;
  if (!image || !first || question.trim() === '' || state.busy) return;
  await attempt(async () => {
    const models = second && keyOf(second) !== keyOf(first) ? [first, second] : [first];
    const answers: Given[] = [];
    for (const model of models) {
      await load(model);
      change({ busy: { stage: 'answer', done: answers.length, total: models.length } });
      const answer = await worker.ask({ ...model, imageId: image.id, question });
      answers.push({ ...answer, by: model });
    }
    change({ busy: undefined, history: [{ image, question, answers }, ...state.history] });
    void measureMemory();
  });
}

/** Where an answer of the newest question comes from. */
export async function explain(given: Given): Promise<void> {
  const [newest] = state.history;
  if (!newest?.answers.includes(given) || state.busy) return;
  await attempt(async () => {
    change({ busy: { stage: 'explain', done: 0, total: 1 } });
    const { image, question } = newest;
    const { picture, ...rest } = await worker.explain({ ...given.by, imageId: image.id, question });
    const heat = { ...rest, url: URL.createObjectURL(picture) };
    const answers = newest.answers.map((each) => (each === given ? { ...each, heat } : each));
    change({ busy: undefined, history: [{ ...newest, answers }, ...state.history.slice(1)] });
  });
}

export async function addAdapter(files: readonly File[]): Promise<void> {
  const { first } = state;
  if (!first || files.length === 0) return;
  await attempt(async () => {
    await load(first);
    const name = files[0]!.webkitRelativePath.split('/')[0] || 'adapter';
    const opened = await worker.loadAdapter(first.run, name, files);
    setAdapters(opened.run, opened.adapters);
    change({ first: { run: first.run, adapter: name } });
  });
}

export const setAdapters = (run: string, adapters: readonly string[]): void =>
  change({ opened: new Map([...state.opened, [run, adapters]]) });

export function clearHistory(): void {
  for (const { image } of state.history) {
    if (image.id === state.image?.id) continue;
    URL.revokeObjectURL(image.url);
    void worker.drop(image.id);
  }
  change({ history: [] });
}

export function speak(language: Language): void {
  localStorage.setItem('language', language);
  document.documentElement.lang = language;
  change({ language });
}
