/** @file Works through the runs of a study, several side by side where asked. */
import { mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../../graph-builder/errors.js';
import { asFileError } from '../../../training-artifacts/files.js';
import { comparable, expectedSeconds, expectedTotal, formatSeconds, type Measured } from './budget.js';
import { type Command, type StudyContext, trainCommand } from './commands.js';
import { runId, type StudyRun } from './row.js';
import { type CommandEnd, type RunningCommand, runCommand } from './run-command.js';
import { secondsOfRun, threadsOfRun } from './run-seconds.js';
import { commandsLeft, isFinished, isReady } from './run-state.js';
import { sideBySide } from './side-by-side.js';
import { type RunTrouble, readState, type StudyState, writeState } from './state.js';

export interface StudyEvents {
  /** a run starts: its place from 0, of how many, and the seconds that all of them still take, if known */
  started(run: StudyRun, at: number, of: number, left: number | undefined): void;
  /** how far the run is, in [0, 1], and the seconds that all still take, if known */
  progress(run: StudyRun, share: number, left: number | undefined): void;
  ended(run: StudyRun, trouble: RunTrouble | undefined, seconds: number): void;
  say(text: string): void;
}

export interface StudyEnd {
  readonly interruptedBy: 'SIGINT' | 'SIGTERM' | null;
  readonly failed: number;
  readonly cut: number;
}

export interface StudyPlan {
  /** seconds; undefined: no end */
  readonly budget: number | undefined;
  /** runs at a time */
  readonly jobs: number;
  /** called after each run that finished, never twice at a time */
  onFinished(): Promise<void>;
  /** how a command is started */
  readonly start?: typeof runCommand;
}

/** `step 12/150` in a line of ort-train. */
const STEP = /\bstep (\d+)\/(\d+)/;
/** Measured steps without evaluations and loading: what a run takes beyond its quote. */
const BEYOND_QUOTE = 1.2;
/** What a command says of a full disk. */
const FULL = /ENOSPC|EDQUOT/;

type Signal = 'SIGINT' | 'SIGTERM';

export class Study {
  private readonly running = new Set<RunningCommand>();
  private asked: Signal | null = null;
  /** something is wrong for all runs, not for one */
  private broken = false;
  private state: StudyState;
  private readonly measured: Measured[] = [];
  /** what was not finished when the work began */
  private left: readonly StudyRun[] = [];
  /** of a run that was not measured, before any is */
  private quoted: Measured | undefined;
  /** how far the runs at work are; 1 for those that ended */
  private readonly shares = new Map<StudyRun, number>();
  private instructing: Promise<CommandEnd> | undefined;
  private reporting: Promise<void> = Promise.resolve();
  private readonly threads: number;
  private readonly started = performance.now();

  constructor(
    private readonly context: StudyContext,
    private readonly runs: readonly StudyRun[],
    private readonly events: StudyEvents,
    private readonly plan: StudyPlan,
  ) {
    this.state = readState(context.out);
    this.threads = Number(context.machine.threads ?? cpus().length);
    for (const run of runs) {
      const seconds = isFinished(context, run) ? secondsOfRun(context, run) : 0;
      if (seconds > 0) this.measured.push({ run, seconds, threads: threadsOfRun(context, run) });
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
    this.left = left;
    this.makeFolders();
    process.on('SIGINT', this.onSignal);
    process.on('SIGTERM', this.onSignal);
    try {
      if (this.plan.budget !== undefined) await this.checkBudget(left);
      await sideBySide(left, {
        jobs: this.plan.jobs,
        mayStart: ({ row: { after }, seed }, others) =>
          after === null || !others.some((other) => other.row.id === after && other.seed === seed),
        run: (run) => this.one(run),
        isStopped: () => this.isStopped,
        onError: () => {
          this.broken = true;
          this.interrupt('SIGINT');
        },
      });
    } finally {
      process.off('SIGINT', this.onSignal);
      process.off('SIGTERM', this.onSignal);
    }
    return this.end();
  }

  private get isStopped(): boolean {
    return this.asked !== null || this.broken;
  }

  private interrupt(signal: Signal): void {
    for (const command of this.running) command.interrupt(signal);
  }

  private readonly onSignal = (signal: NodeJS.Signals): void => {
    const first = this.asked === null;
    this.asked ??= signal as Signal;
    const [saves, ends] =
      this.running.size > 1
        ? ['the runs save what they have (Ctrl-C again ends them at once)', 'the runs are ended at once']
        : ['the run saves what it has (Ctrl-C again ends it at once)', 'the run is ended at once'];
    this.events.say(first ? saves : ends);
    this.interrupt(first ? 'SIGINT' : 'SIGTERM');
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
    return (this.plan.budget ?? Number.POSITIVE_INFINITY) - (performance.now() - this.started) / 1000;
  }

  /** What times are expected from. */
  private get known(): readonly Measured[] {
    const known = comparable(this.measured, this.threads);
    return this.quoted && !known.some(({ run }) => run.row.trained) ? [...known, this.quoted] : known;
  }

  /** Seconds until all runs have ended. */
  private timeLeft(): number | undefined {
    const share = (run: StudyRun) => this.shares.get(run) ?? 0;
    const open = this.left.filter((run) => share(run) < 1);
    return expectedTotal(open, this.known, this.plan.jobs, share);
  }

  private async one(run: StudyRun): Promise<void> {
    const at = this.shares.size;
    const refused = this.refusal(run, expectedSeconds(run, this.known));
    if (refused) {
      this.shares.set(run, 1);
      this.note(run, refused);
      this.events.ended(run, refused, 0);
      return;
    }
    this.shares.set(run, 0);
    this.events.started(run, at, this.left.length, this.timeLeft());
    const started = performance.now();
    const trouble = await this.commands(run);
    if (this.isStopped) return; // neither failed nor finished: the next call goes on
    this.shares.set(run, 1);
    this.note(run, trouble);
    const seconds = (performance.now() - started) / 1000;
    if (!trouble) {
      // a part of it may have been done by an earlier call
      const whole = Math.max(seconds, secondsOfRun(this.context, run));
      this.measured.push({ run, seconds: whole, threads: this.threads });
    }
    this.events.ended(run, trouble, seconds);
    if (trouble && FULL.test(trouble.reason))
      throw new UserError(
        `the disk is full: run ${runId(run)} could not be written`,
        this.context.out,
        'free some disk space and run the command again; finished runs are kept',
      );
    if (!trouble) await this.report();
  }

  /** One report after the other: all write the same files. */
  private report(): Promise<void> {
    this.reporting = this.reporting.then(() => this.plan.onFinished());
    return this.reporting;
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
    const onProgress = (share: number) => {
      this.shares.set(run, Math.min(share, 0.99)); // the test questions are still to be answered
      this.events.progress(run, share, this.timeLeft());
    };
    for (const command of commandsLeft(this.context, run)) {
      if (this.isStopped) return undefined;
      const { code, signal, error } = await (command.bin === 'ort-data'
        ? this.instruct(command, log)
        : this.execute(command, log, onProgress));
      if (this.isStopped) return undefined;
      if (code !== 0)
        return { status: 'failed', reason: error || `${command.bin} ended with ${signal ?? code}` };
    }
    return isFinished(this.context, run)
      ? undefined
      : { status: 'failed', reason: 'its commands ended well, but it has no scores' };
  }

  /** The data set in instruction format is made once, by the first run that needs it. */
  private instruct(command: Command, log: string): Promise<CommandEnd> {
    this.instructing ??= this.execute(command, log, () => {}).finally(() => {
      this.instructing = undefined;
    });
    return this.instructing;
  }

  private async execute(
    command: Command,
    log: string,
    onProgress: (share: number) => void,
  ): Promise<CommandEnd> {
    const { start = runCommand } = this.plan;
    const running = start(command, log, (line) => {
      const [, step, steps] = STEP.exec(line) ?? [];
      if (step) onProgress(Number(step) / Number(steps));
    });
    this.running.add(running);
    try {
      return await running.ended;
    } finally {
      this.running.delete(running);
    }
  }

  /** Before anything is measured a few steps of the first run tell whether the budget holds a single one. */
  private async checkBudget(left: readonly StudyRun[]): Promise<void> {
    const first = left.find((run) => run.row.trained && isReady(this.context, run));
    if (!first) return;
    let needed = expectedSeconds(
      first,
      this.known.filter(({ run }) => run.row.trained),
    );
    if (needed === undefined) {
      needed = await this.quote(first);
      if (needed !== undefined) this.quoted = { run: first, seconds: needed };
    }
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
