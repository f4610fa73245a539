/** @file One of the ordinary commands as a child process that can be interrupted. */
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { asFileError } from '../../../training-artifacts/files.js';
import type { Command } from './commands.js';

export interface CommandEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  /** what, where and what to do, where the command said so; else its last words */
  readonly error: string;
}

export interface RunningCommand {
  readonly ended: Promise<CommandEnd>;
  interrupt(signal: NodeJS.Signals): void;
}

/** Kept of what a command says, bytes. */
const TAIL = 8192;

/** The last message of our form, or the last lines that are not progress. */
export function lastError(stderr: string): string {
  const messages = [...stderr.matchAll(/^[^\n]+\n {2}where: [^\n]+\n {2}to do: [^\n]+/gm)];
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  return messages.at(-1)?.[0] ?? lines.slice(-3).join('\n');
}

function openLog(file: string): number {
  try {
    return openSync(file, 'a');
  } catch (error) {
    throw asFileError(error, file, 'write');
  }
}

const binary = (bin: Command['bin']): string =>
  fileURLToPath(new URL(`../cli/bin/${bin}.js`, import.meta.url));

/**
 * Starts a command, its words appended to a log file.
 *
 * It has a process group of its own, so that a Ctrl-C reaches it once, through `interrupt`; it ends when this
 * process ends, however that happens.
 */
export function runCommand(
  { bin, args }: Command,
  logFile: string,
  onLine: (line: string) => void,
): RunningCommand {
  const log = openLog(logFile);
  const child: ChildProcess = fork(binary(bin), args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [],
  });
  const note = (chunk: Buffer | string) => {
    try {
      writeSync(log, chunk as string);
    } catch {
      // a full disk: the command itself meets it, too, and says so
    }
  };
  note(`$ ${bin} ${args.join(' ')}\n`);
  let [stdout, stderr] = ['', ''];
  child.stdout!.on('data', (chunk: Buffer) => {
    note(chunk);
    stdout += chunk;
  });
  child.stderr!.on('data', (chunk: Buffer) => {
    note(chunk);
    stderr = (stderr + chunk).slice(-TAIL);
    for (const line of chunk.toString().split('\n')) if (line.trim()) onLine(line);
  });
  const ended = new Promise<CommandEnd>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      closeSync(log);
      resolve({ code, signal, stdout, error: lastError(stderr) });
    });
  });
  return { ended, interrupt: (signal) => void child.kill(signal) };
}
