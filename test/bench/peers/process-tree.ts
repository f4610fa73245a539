/** @file Programs that are measured with all the processes they start. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { watchMemory } from '../../../runtime/node/memory.js';

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' '))
      .filter(Boolean)
      .map(Number);
  } catch {
    return []; // ended, or a system without /proc
  }
}

/** A process and all its descendants. */
export function processTree(root: number): number[] {
  const found = [root];
  for (const pid of found) found.push(...childrenOf(pid)); // the loop also visits what it appends
  return found;
}

/** Watches the memory of a process and its descendants until `stop`, see `watchMemory`. */
export const watchTree = (root: number) => watchMemory(() => processTree(root));

export interface Finished {
  /** seconds since 1970 */
  readonly startedAt: number;
  readonly seconds: number;
  /** largest sum over the process and its descendants */
  readonly peakBytes: number;
  readonly output: string;
}

/** Runs a program to its end; its messages are shown when it fails. @throws {Error} then. */
export async function runProgram(
  command: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<Finished> {
  const startedAt = Date.now() / 1000;
  const started = performance.now();
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  let [output, messages] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    messages += text;
  });
  const memory = watchTree(child.pid ?? process.pid);
  try {
    const code = await ended;
    if (code !== 0) throw new Error(`${args[0]} ended with code ${code}: ${messages}`);
    return { startedAt, seconds: (performance.now() - started) / 1000, peakBytes: memory.stop(), output };
  } finally {
    memory.stop();
  }
}
