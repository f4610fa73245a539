/** @file Starts the trainer's process and talks to it. */
import { type ChildProcess, fork } from 'node:child_process';
import { UserError } from '../../../graph-builder/errors.js';
import { withHugePages } from '../huge-pages.js';
import type { TrainingEvent, TrainingJob } from './events.js';
import type { FromTrainer, ToTrainer } from './process.js';

export interface RunningTraining {
  /** of the process that trains */
  readonly pid: number;
  /** resolves when the training has ended or stopped with a checkpoint */
  readonly finished: Promise<void>;
  /** asks for a checkpoint and the end after the current step */
  stop(): void;
  /** ends the process at once; the last checkpoint stays */
  kill(): void;
}

function outcome(child: ChildProcess, onEvent: (event: TrainingEvent) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const settle = (act: () => void) => {
      settled = true;
      act();
    };
    child.on('message', (message: FromTrainer) => {
      if (message.type === 'done') settle(resolve);
      else if (message.type === 'failed')
        settle(() => reject(new UserError(message.what, message.where, message.remedy)));
      else if (message.type === 'bug') settle(() => reject(new Error(message.stack)));
      else onEvent(message);
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (settled) return;
      const how = signal ? `was ended by ${signal}` : `ended with code ${code}`;
      reject(
        new UserError(
          `the training process ${how}`,
          'ort-train',
          'if memory ran out, lower --batch-size; go on with --resume',
        ),
      );
    });
  });
}

/** Trains a run in a process of its own: ONNX Runtime's `run` blocks the thread that calls it. */
export function trainInChild(job: TrainingJob, onEvent: (event: TrainingEvent) => void): RunningTraining {
  const child = fork(new URL('./process.js', import.meta.url), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: withHugePages(),
  });
  const tell = (message: ToTrainer) => child.connected && child.send(message);
  const finished = outcome(child, onEvent);
  tell({ type: 'job', job });
  return {
    pid: child.pid!,
    finished,
    stop: () => void tell({ type: 'stop' }),
    kill: () => void child.kill('SIGKILL'),
  };
}
