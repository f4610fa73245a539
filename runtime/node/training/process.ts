/** @file The child process that holds ONNX Runtime, the trained tensors and their moments. */
import { setImmediate } from 'node:timers/promises';
import { UserError } from '../../../graph-builder/errors.js';
import type { TrainingEvent, TrainingJob } from './events.js';
import { runTraining } from './job.js';

/** From the parent: the job, then perhaps a wish to stop. */
export type ToTrainer = { readonly type: 'job'; readonly job: TrainingJob } | { readonly type: 'stop' };

/** To the parent: what happens, then the outcome. */
export type FromTrainer =
  | TrainingEvent
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly what: string; readonly where: string; readonly remedy: string }
  | { readonly type: 'bug'; readonly stack: string };

let stopping = false;

// Ctrl-C reaches the whole process group; the parent decides what it means.
process.on('SIGINT', () => {});
// Without its parent nobody could stop this process.
process.on('disconnect', () => process.exit(1));

/** Sends and waits until the channel took it, so that an exit right after loses nothing. */
const send = (message: FromTrainer): Promise<void> =>
  new Promise((resolve) => {
    if (process.send) process.send(message, undefined, undefined, () => resolve());
    else resolve();
  });

/** `run` blocks the thread: messages arrive only in pauses between steps. */
async function shouldStop(): Promise<boolean> {
  await setImmediate();
  return stopping;
}

async function train(job: TrainingJob): Promise<void> {
  try {
    await runTraining(job, (event) => void send(event), shouldStop);
    await send({ type: 'done' });
  } catch (error) {
    if (error instanceof UserError)
      await send({ type: 'failed', what: error.what, where: error.where, remedy: error.remedy });
    else await send({ type: 'bug', stack: (error as Error).stack ?? String(error) });
    process.exitCode = 1;
  }
  process.disconnect?.();
}

process.on('message', (message: ToTrainer) => {
  if (message.type === 'stop') stopping = true;
  else void train(message.job);
});
