/** @file What `ort-train` does with a run that has a checkpoint already: on a terminal it asks. */
import { createInterface } from 'node:readline';
import { UserError } from '../../../graph-builder/errors.js';
import { readCheckpointState } from '../../../training-artifacts/checkpoint/checkpoint.js';

interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
}

/** Asks until the answer is yes or no; the end of the input, or Ctrl-C, is no. */
export async function confirm(question: string, { input, output }: Terminal): Promise<boolean> {
  const reader = createInterface({ input, output, prompt: question });
  let open = true;
  reader.once('close', () => {
    open = false;
  });
  reader.prompt();
  for await (const line of reader) {
    const answer = line.trim().toLowerCase();
    if (/^(y|yes|n|no)$/.test(answer)) {
      reader.close();
      return answer.startsWith('y');
    }
    if (open) reader.prompt();
  }
  return false;
}

/**
 * True when the user wants to go on from the last checkpoint.
 *
 * @throws {UserError} with both ways, when there is nobody to ask or the answer is no.
 */
export async function offerResume(run: string): Promise<true> {
  if (process.stdin.isTTY && process.stderr.isTTY) {
    const { batches } = readCheckpointState(run, 'last');
    const question = `${run} has a checkpoint of step ${batches}. Go on from it? [y/n] `;
    if (await confirm(question, { input: process.stdin, output: process.stderr })) return true;
  }
  throw new UserError(
    'the run has a checkpoint already',
    run,
    'add --resume to go on, or --overwrite to start again',
  );
}
