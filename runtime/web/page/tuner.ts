/** @file The worker's training: reads table and images, trains until paused, keeps what goes on after a reload. */
import { clear, createStore, get, set } from 'idb-keyval';
import { UserError } from '../../../graph-builder/errors.js';
import type { Model } from '../model.js';
import { alone } from '../opfs.js';
import { adapterZip } from '../training/adapter-zip.js';
import { readTable } from '../training/table.js';
import { readPlanes } from '../training/train.js';
import {
  bestValues,
  firstCheckpoint,
  type TuneCheckpoint,
  type TuneEvaluation,
  type TuneJob,
  type TuneStep,
  Tuning,
} from '../training/tuning.js';
import type { TuneEvents, TunePlan, TuneRequest, TuneSummary } from './protocol.js';

type Log = readonly (TuneStep | TuneEvaluation)[];

interface KeptJob extends TuneJob {
  readonly run: string;
}
interface KeptState {
  readonly checkpoint: TuneCheckpoint;
  readonly log: Log;
  readonly total: number;
}

/** Least time between two checkpoints; taking one takes a small share of it. */
const SAVE_EVERY_MS = 15_000;
const LOCK = 'mile-ort training';

const store = () => createStore('mile-ort-training', 'kept');

const planOf = ({ rows, planes }: TuneJob): TunePlan => ({
  train: rows.filter(({ split }) => split === 'train').length,
  validation: rows.filter(({ split }) => split === 'validation').length,
  images: planes.size,
});

/** Lets messages in, such as the one that asks for a pause: WebAssembly's steps alone never leave the thread. */
const breathe = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

export class Tuner {
  private job: KeptJob | undefined;
  private checkpoint: TuneCheckpoint | undefined;
  private log: (TuneStep | TuneEvaluation)[] = [];
  private isPausing = false;
  private running: Promise<void> | undefined;

  /** A training of an earlier visit, or the one of this. */
  async kept(): Promise<TuneSummary | undefined> {
    const [job, state] = await Promise.all([
      get<KeptJob>('job', store()).catch(() => undefined),
      get<KeptState>('state', store()).catch(() => undefined),
    ]);
    if (!job || !state) return undefined;
    this.job = job;
    this.checkpoint = state.checkpoint;
    this.log = [...state.log];
    const { batches } = state.checkpoint;
    const { options, run } = job;
    return { run, options, plan: planOf(job), log: state.log, isDone: batches >= state.total };
  }

  /** Reads what the training needs and keeps it. */
  async prepare(model: Model, request: TuneRequest, events: TuneEvents): Promise<TunePlan> {
    await this.discard();
    const rows = readTable(await request.table.text(), request.table.name);
    const planes = await readPlanes(model, rows, request.images, (done, total) =>
      events({ type: 'state', state: 'reading', done, total }),
    );
    this.job = { run: request.run, rows, planes, options: request.options };
    this.checkpoint = firstCheckpoint(await model.trained());
    await this.keep(events, () => set('job', this.job, store()));
    return planOf(this.job);
  }

  /** Trains until it is paused or over. @throws {UserError} when another tab is training. */
  async run(model: Model, events: TuneEvents): Promise<void> {
    const { job, checkpoint } = this;
    if (!job || !checkpoint) throw new Error('internal: nothing was prepared');
    this.isPausing = false;
    const busy = () => {
      throw new UserError('another tab is training', 'this browser', 'wait for it, or pause it there');
    };
    this.running = alone(LOCK, () => this.loop(model, job, checkpoint, events).then(() => true), busy).then(
      () => {},
    );
    await this.running;
  }

  async pause(): Promise<void> {
    this.isPausing = true;
    await this.running?.catch(() => undefined);
  }

  /** Forgets the training, here and in the browser's storage. */
  async discard(): Promise<void> {
    await this.pause();
    this.job = undefined;
    this.checkpoint = undefined;
    this.log = [];
    await clear(store()).catch(() => undefined);
  }

  zip(model: Model): Uint8Array<ArrayBuffer> {
    return adapterZip(model.manifest, bestValues(this.checkpoint!));
  }

  /** Makes the trained tensors one of the model's adapters. */
  use(model: Model, name: string): void {
    const values = [...bestValues(this.checkpoint!)].map(
      ([key, { shape, data }]) => [key, { shape, data: data.slice() }] as const,
    );
    model.setAdapter(name, new Map(values));
  }

  private async loop(model: Model, job: TuneJob, from: TuneCheckpoint, events: TuneEvents): Promise<void> {
    const tuning = new Tuning(model, job, from, (event) => {
      if (event.type === 'busy')
        events({ type: 'state', state: event.what, done: event.done, total: event.total });
      else {
        this.log.push(event);
        events(event);
      }
    });
    let saved = performance.now();
    try {
      await tuning.open();
      while (!tuning.isOver && !this.isPausing) {
        await tuning.step();
        this.checkpoint = tuning.checkpoint();
        await breathe();
        if (performance.now() - saved < SAVE_EVERY_MS) continue;
        await this.save(tuning.total, events);
        saved = performance.now();
      }
      await this.save(tuning.total, events);
      events({ type: 'state', state: tuning.isOver ? 'done' : 'paused', done: 0, total: 0 });
    } finally {
      await tuning.release();
    }
  }

  private async save(total: number, events: TuneEvents): Promise<void> {
    const state: KeptState = { checkpoint: this.checkpoint!, log: this.log, total };
    await this.keep(events, () => set('state', state, store()));
  }

  /** A full storage does not end the training: the user is told. */
  private async keep(events: TuneEvents, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch {
      events({ type: 'not-kept' });
    }
  }
}
