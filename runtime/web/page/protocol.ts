/** @file What the page asks of its worker. Arguments and results are cloned. */
import type { ServedRun } from '../../core/served-runs.js';
import type { Choice } from '../choose-device.js';
import type { Answer, Note, Progress } from '../model.js';
import type { TuneEvaluation, TuneOptions, TuneStep } from '../training/tuning.js';

export type Events = (event: Progress | { readonly stage: 'note'; readonly note: Note }) => void;

export interface Opened {
  readonly run: string;
  readonly choice: Choice;
  readonly adapters: readonly string[];
}

/** An image that the worker holds. */
export interface HeldImage {
  readonly width: number;
  readonly height: number;
  /** what is shown of a file that browsers cannot show, a PNG */
  readonly preview?: Blob;
  /** what the user should know of it, e.g. that names may be in the pixels */
  readonly notes: readonly string[];
}

export interface Question {
  readonly run: string;
  readonly adapter: string;
  readonly imageId: number;
  readonly question: string;
}

/** Where an answer came from. */
export interface Explained {
  /** the image with the heat map over it, a PNG */
  readonly picture: Blob;
  /** probability lost with the hottest patches hidden, and with as many random ones */
  readonly lost: number;
  readonly lostAtRandom: number;
  /** the deletion test finds the map no better than chance at 5% */
  readonly isChance: boolean;
}

export interface PageWorker {
  /** `base`: folder URL of the page; `device`: what its address asks for */
  start(base: string, device: string | null): Promise<Choice>;
  /** Whether a run's weights are in the browser's storage. */
  isKept(sha256: string): Promise<boolean>;
  open(run: ServedRun, events: Events): Promise<Opened>;
  /** Decodes an image and holds it under a number. */
  hold(imageId: number, file: Blob): Promise<HeldImage>;
  drop(imageId: number): Promise<void>;
  ask(question: Question): Promise<Answer>;
  explain(question: Question): Promise<Explained>;
  /** Loads an adapter folder under a name, for a run that is open. */
  loadAdapter(run: string, name: string, files: readonly File[]): Promise<Opened>;

  /** A training that the browser keeps. */
  keptTraining(): Promise<TuneSummary | undefined>;
  /** Reads table and images; its run is open. */
  prepareTraining(request: TuneRequest, events: TuneEvents): Promise<TunePlan>;
  /** Trains until it is paused or over. */
  train(run: string, events: TuneEvents): Promise<void>;
  pauseTraining(): Promise<void>;
  discardTraining(): Promise<void>;
  adapterZip(run: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Makes what was trained one of the run's adapters. */
  useTrained(run: string, name: string): Promise<Opened>;
}

export type TuneState = 'reading' | 'features' | 'checking' | 'paused' | 'done';

/** not-kept: a reload would lose the training */
export type TuneEvents = (
  event:
    | TuneStep
    | TuneEvaluation
    | { readonly type: 'state'; readonly state: TuneState; readonly done: number; readonly total: number }
    | { readonly type: 'not-kept' },
) => void;

export interface TuneRequest {
  readonly run: string;
  readonly table: File;
  readonly images: readonly File[];
  readonly options: TuneOptions;
}

export interface TunePlan {
  readonly train: number;
  readonly validation: number;
  readonly images: number;
}

/** A training as the browser keeps it. */
export interface TuneSummary {
  readonly run: string;
  readonly options: TuneOptions;
  readonly plan: TunePlan;
  readonly log: readonly (TuneStep | TuneEvaluation)[];
  readonly isDone: boolean;
}
