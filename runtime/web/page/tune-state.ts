/** @file What the page knows of the training. */
import { type TuneEvaluation, type TuneOptions, type TuneStep, tuneDefaults } from '../training/defaults.js';
import type { TunePlan, TuneState } from './protocol.js';
import { change } from './state.js';

export interface Tune {
  /** name of the run to start from */
  run: string | undefined;
  table: File | undefined;
  images: readonly File[];
  /** name of the folder that was picked; a file input shows it itself */
  folder: string | undefined;
  options: TuneOptions;
  plan: TunePlan | undefined;
  state: 'form' | 'training' | TuneState;
  done: number;
  total: number;
  steps: readonly TuneStep[];
  evaluations: readonly TuneEvaluation[];
  /** from an earlier visit */
  isKept: boolean;
  /** a reload would lose it */
  isLost: boolean;
  isUsed: boolean;
}

const empty = {
  plan: undefined,
  state: 'form' as const,
  done: 0,
  total: 0,
  steps: [],
  evaluations: [],
  isKept: false,
  isLost: false,
  isUsed: false,
};

export const tune: Tune = {
  run: undefined,
  table: undefined,
  images: [],
  folder: undefined,
  options: tuneDefaults,
  ...empty,
};

export function changeTune(part: Partial<Tune>): void {
  Object.assign(tune, part);
  change({});
}

/** Back to the form, what was chosen in it kept. */
export const clearTune = (): void => changeTune(empty);

export const isTraining = (): boolean => !['form', 'paused', 'done'].includes(tune.state);
