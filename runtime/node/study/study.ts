/** @file Works through the runs of a study, one after the other. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../../graph-builder/errors.js';
import { asFileError } from '../../../training-artifacts/files.js';
import { expectedSeconds, expectedTotal, formatSeconds, type Measured } from './budget.js';
import { type Command, type StudyContext, trainCommand } from './commands.js';
import { runId, type StudyRun } from './row.js';
import { type RunningCommand, runCommand } from './run-command.js';
import { secondsOfRun } from './run-seconds.js';
import { commandsLeft, isFinished, isReady } from './run-state.js';
import { type RunTrouble, readState, type StudyState, writeState } from './state.js';

export interface StudyEvents {
  /** a run starts: its place from 0, of how many, and the seconds that all of them still take, if known */
  started(run: StudyRun, at: number, of: number, left: number | undefined): void;
  /** how far the run is, in [0, 1] */
  progress(run: StudyRun, share: number): void;
  ended(run: StudyRun, trouble: RunTrouble | undefined, seconds: number): void;
  say(text: string): void;
}

export interface StudyEnd {
  readonly interruptedBy: 'SIGINT' | 'SIGTERM' | null;
  readonly failed: number;
  readonly cut: number;
}

/** `step 12/150` in a line of ort-train. */
const STEP = /\bstep (\d+)\/(\d+)/;
/** Measured steps without evaluations and loading: what a run takes beyond its quote. */
const BEYOND_QUOTE = 1.2;

type Signal = 'SIGINT' | 'SIGTERM';

export class Study {
  private current: RunningCommand | undefined;
  private asked: Signal | null = null;
  private state: StudyState;
  private readonly measured: Measured[] = [];
  private readonly started = performance.now();

  constructor(
    private readonly context: StudyContext,
    private readonly runs: readonly StudyRun[],
    private readonly events: StudyEvents,
    private readonly budget: number | undefined,
    /** called after each run that finished */
    private readonly onFinished: () => Promise<void>,
  ) {
    this.state = readState(context.out);
    for (const run of runs) {
      const seconds = isFinished(context, run) ? secondsOfRun(context, run) : 0;
      if (seconds > 0) this.measured.push({ run, seconds });
    }
  }

  /**
   * Runs what is not finished yet. A run that fails does not stop the rest; an interrupt or a full disk does.
   *
   * @throws {UserError} when the budget is too small for a single run, or the disk is full.
   */
  async work(): Promise<StudyEnd> {
    const left = this.runs.filter((run) => !isFinished(this.context, run));
    if (left.length === 0) return this.end();
    this.makeFolders();
    process.on('SIGINT', this.onSignal);
    process.on('SIGTERM', this.onSignal);
    try {
      if (this.budget !== undefined) await this.checkBudget(left);
      for (const [i, run] of left.entries()) {
        if (this.asked) break;
        await this.one(run, i, left);
      }
    } finally {
      process.off('SIGINT', this.onSignal);
      process.off('SIGTERM', this.onSignal);
    }
    return this.end();
  }

  private readonly onSignal = (signal: NodeJS.Signals): void => {
    const first = this.asked === null;
    this.asked ??= signal as Signal;
    this.events.say(
      first ? 'the run saves what it has (Ctrl-C again ends it at once)' : 'the run is ended at once',
    );
    this.current?.interrupt(first ? 'SIGINT' : 'SIGTERM');
  };

  private end(): StudyEnd {
    // what others have finished since is no trouble any more
    const left = this.runs.filter((run) => !isFinished(this.context, run));
    const mine = left.flatMap((run) => this.state[runId(run)] ?? []);
    const count = (status: RunTrouble['status']) => mine.filter((t) => t.status === status).length;
    return { interruptedBy: this.asked, failed: count('failed') + count('waits'), cut: count('cut') };
  }

  private makeFolders(): void {
    for (const folder of ['runs', 'log'].map((name) => join(this.context.out, name))) {
      try {
        mkdirSync(folder, { recursive: true });
      } catch (error) {
        throw asFileError(error, folder, 'write');
      }
    }
  }

  private note(run: StudyRun, trouble: RunTrouble | undefined): void {
    const { [runId(run)]: _, ...others } = this.state;
    this.state = trouble ? { ...others, [runId(run)]: trouble } : others;
    writeState(this.context.out, this.state);
  }

  private remaining(): number {
    return (this.budget ?? Number.POSITIVE_INFINITY) - (performance.now() - this.started) / 1000;
  }

  private async one(run: StudyRun, at: number, left: readonly StudyRun[]): Promise<void> {
    const expected = expectedSeconds(run, this.measured);
    const refused = this.refusal(run, expected);
    if (refused) {
      this.note(run, refused);
      this.events.ended(run, refused, 0);
      return;
    }
    this.events.started(run, at, left.length, expectedTotal(left.slice(at), this.measured));
    const started = performance.now();
    const trouble = await this.commands(run);
    if (this.asked) return; // neither failed nor finished: the next call goes on
    this.note(run, trouble);
    const seconds = (performance.now() - started) / 1000;
    if (!trouble) this.measured.push({ run, seconds });
    this.events.ended(run, trouble, seconds);
    if (trouble?.reason.includes('ENOSPC'))
      throw new UserError(
        `the disk is full: run ${runId(run)} could not be written`,
        this.context.out,
        'free some disk space and run the command again; finished runs are kept',
      );
    if (!trouble) await this.onFinished();
  }

  /** Why a run is not started. */
  private refusal(run: StudyRun, expected: number | undefined): RunTrouble | undefined {
    const left = this.remaining();
    if (left <= 0 || (expected !== undefined && expected > left)) {
      const needs =
        expected === undefined
          ? ''
          : `: about ${formatSeconds(expected)} needed, ${formatSeconds(Math.max(0, left))} left`;
      return { status: 'cut', reason: `the budget did not reach${needs}` };
    }
    if (isReady(this.context, run)) return undefined;
    return { status: 'waits', reason: `it starts from row ${run.row.after}, which is not trained` };
  }

  /** The commands that are left of a run. */
  private async commands(run: StudyRun): Promise<RunTrouble | undefined> {
    const log = join(this.context.out, 'log', `${runId(run)}.log`);
    for (const command of commandsLeft(this.context, run)) {
      if (this.asked) return undefined;
      const { code, signal, error } = await this.execute(command, log, (share) =>
        this.events.progress(run, share),
      );
      if (this.asked) return undefined;
      if (code !== 0)
        return { status: 'failed', reason: error || `${command.bin} ended with ${signal ?? code}` };
    }
    return isFinished(this.context, run)
      ? undefined
      : { status: 'failed', reason: 'its commands ended well, but it has no scores' };
  }

  private async execute(command: Command, log: string, onProgress: (share: number) => void) {
    this.current = runCommand(command, log, (line) => {
      const [, step, steps] = STEP.exec(line) ?? [];
      if (step) onProgress(Number(step) / Number(steps));
    });
    try {
      return await this.current.ended;
    } finally {
      this.current = undefined;
    }
  }

  /** Before anything is measured a few steps of the first run tell whether the budget holds a single one. */
  private async checkBudget(left: readonly StudyRun[]): Promise<void> {
    const first = left.find((run) => run.row.trained && isReady(this.context, run));
    if (!first) return;
    let needed = expectedSeconds(
      first,
      this.measured.filter(({ run }) => run.row.trained),
    );
    needed ??= await this.quote(first);
    if (needed === undefined || needed <= this.remaining()) return;
    throw new UserError(
      `the budget is too small: a run takes about ${formatSeconds(needed)}`,
      '--budget',
      `allow more, lower --epochs, or leave --budget out: Ctrl-C keeps what is done`,
    );
  }

  /** Undefined when it fails: then the run itself will say why. */
  private async quote(run: StudyRun): Promise<number | undefined> {
    this.events.say(`${runId(run)}: measuring a few steps`);
    const log = join(this.context.out, 'log', `${runId(run)}.log`);
    const [first] = commandsLeft(this.context, run);
    if (first?.bin === 'build-graph' && (await this.execute(first, log, () => {})).code !== 0)
      return undefined;
    const { bin, args } = trainCommand(this.context, run);
    const quote = { bin, args: [...args, '--dry-run', '--json'] };
    const { code, stdout } = await this.execute(quote, log, () => {});
    if (code !== 0) return undefined;
    return BEYOND_QUOTE * (JSON.parse(stdout) as { secondsTotal: number }).secondsTotal;
  }
}
