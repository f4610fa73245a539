/** @file What the page knows, and how it changes. */
import { OWN, type ServedRun } from '../../core/served-runs.js';
import type { Choice } from '../choose-device.js';
import type { Answer, Note, Progress } from '../model.js';
import type { Problem } from './format.js';
import type { Explained } from './protocol.js';
import { de } from './text-de.js';
import { en, type Text } from './text-en.js';

export const languages = { en, de } as const;
export type Language = keyof typeof languages;

/** A run with one of its adapters. */
export interface Choosable {
  readonly run: string;
  readonly adapter: string;
}

export interface ShownImage {
  readonly id: number;
  readonly name: string;
  /** of the file, for the picture */
  readonly url: string;
  /** what the user should know of it */
  readonly notes: readonly string[];
}

/** A heat map as it is shown. */
export interface ShownHeat extends Omit<Explained, 'picture'> {
  readonly url: string;
}

/** What one model answered. */
export interface Given extends Answer {
  readonly by: Choosable;
  readonly heat?: ShownHeat;
}

/** An answered question. */
export interface Entry {
  readonly image: ShownImage;
  readonly question: string;
  readonly answers: readonly Given[];
}

export type Busy =
  | Progress
  | { readonly stage: 'answer' | 'decode' | 'explain'; readonly done: number; readonly total: number };

export interface State {
  language: Language;
  tab: 'ask' | 'tune';
  choice: Choice | undefined;
  runs: readonly ServedRun[];
  /** names of runs whose weights are in the browser's storage */
  kept: ReadonlySet<string>;
  /** adapters of runs that are open */
  opened: ReadonlyMap<string, readonly string[]>;
  first: Choosable | undefined;
  second: Choosable | undefined;
  image: ShownImage | undefined;
  question: string;
  busy: Busy | undefined;
  notes: ReadonlySet<Note>;
  problem: Problem | undefined;
  history: readonly Entry[];
  /** bytes that the tab and its worker hold, where the browser tells */
  memory: number | undefined;
  /** a file is held over the page */
  isOver: boolean;
}

const preferred = (): Language =>
  (localStorage.getItem('language') ?? navigator.language).startsWith('de') ? 'de' : 'en';

export const state: State = {
  language: preferred(),
  tab: 'ask',
  choice: undefined,
  runs: [],
  kept: new Set(),
  opened: new Map(),
  first: undefined,
  second: undefined,
  image: undefined,
  question: '',
  busy: undefined,
  notes: new Set(),
  problem: undefined,
  history: [],
  memory: undefined,
  isOver: false,
};

let redraw = () => {};

/** Called once with what draws the page. */
export function onChange(draw: () => void): void {
  redraw = draw;
}

export function change(part: Partial<State>): void {
  Object.assign(state, part);
  redraw();
}

export const text = (): Text => languages[state.language];

export const keyOf = ({ run, adapter }: Choosable): string => JSON.stringify([run, adapter]);

export function choosableOf(key: string): Choosable {
  const [run, adapter] = JSON.parse(key) as [string, string];
  return { run, adapter };
}

/** All runs, each with its adapters. */
export const choosables = (): Choosable[] =>
  state.runs.flatMap(({ name }) =>
    (state.opened.get(name) ?? [OWN]).map((adapter) => ({ run: name, adapter })),
  );

export function labelOf({ run, adapter }: Choosable): string {
  if (adapter !== OWN) return `${run}: ${adapter}`;
  const served = state.runs.find(({ name }) => name === run);
  return served?.trained === 'base' ? `${run} (${text().untrained})` : run;
}

export const isOpen = ({ run }: Choosable): boolean => state.opened.has(run);

export const runOf = ({ run }: Choosable): ServedRun => state.runs.find(({ name }) => name === run)!;
