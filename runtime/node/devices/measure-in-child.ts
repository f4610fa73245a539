/** @file Measures a device in a process of its own. */
import { fork } from 'node:child_process';
import { withHugePages } from '../huge-pages.js';
import type { Measured, MeasureJob } from './measure.js';
import type { MeasureReply } from './measure-process.js';

export interface Failure {
  readonly what: string;
  readonly remedy: string;
}
export type Outcome = Measured | Failure;

export const isFailure = (outcome: Outcome): outcome is Failure => 'what' in outcome;

const LIMIT_MS = 600_000;

/** The last line that drivers and ONNX Runtime wrote before the end. */
const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.trim() ?? '';

/** {@link measure} in a child: neither a crash nor a hang of a driver reaches this process. */
export function measureInChild(job: MeasureJob): Promise<Outcome> {
  const child = fork(new URL('./measure-process.js', import.meta.url), {
    serialization: 'advanced', // typed arrays
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: withHugePages(),
  });
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000);
  });
  return new Promise((resolve) => {
    const fail = (how: string) =>
      resolve({ what: `${how} ${lastLine(said)}`.trim(), remedy: 'use another device' });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`no answer within ${LIMIT_MS / 1000} s:`);
    }, LIMIT_MS);
    child.on('message', (reply: MeasureReply) => {
      if (reply.type === 'measured') resolve(reply.measured);
      else resolve({ what: reply.what, remedy: reply.remedy });
    });
    child.on('error', (error) => fail(error.message));
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      fail(signal ? `the process was ended by ${signal}:` : `the process ended with code ${code}:`);
    });
    child.send(job);
  });
}
