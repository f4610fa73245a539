/** @file The log of a run: metrics.jsonl, a line for each step and evaluation, and the same for TensorBoard. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asFileError, writeAtomic } from '../../../training-artifacts/files.js';
import type { EvaluationEvent, LogLine, StepEvent } from './events.js';
import { EventFile } from './tensorboard.js';

export const logFolder = (run: string): string => join(run, 'log');
export const metricsPath = (run: string): string => join(logFolder(run), 'metrics.jsonl');

/** The lines written so far, also while somebody writes: one that is not whole yet, or never became so, is left out. */
export function readLog(run: string): LogLine[] {
  const file = metricsPath(run);
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  return lines.flatMap((line): LogLine[] => {
    try {
      return [JSON.parse(line) as LogLine];
    } catch {
      return [];
    }
  });
}

/** Writes the log of a training that starts or goes on. */
export class RunLog {
  private readonly path: string;
  private readonly board: EventFile;

  /** Drops what a killed run wrote after the step of its checkpoint (-1: everything). */
  constructor(run: string, step: number) {
    const lines = readLog(run).filter((line) => line.step <= step);
    this.path = metricsPath(run);
    writeAtomic(this.path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    this.board = new EventFile(logFolder(run), lines);
  }

  /** @throws {FileError} when the disk is full. */
  append(event: StepEvent | EvaluationEvent, seconds: number): LogLine {
    const line = { ...event, time: Date.now() / 1000, seconds };
    try {
      appendFileSync(this.path, `${JSON.stringify(line)}\n`);
    } catch (error) {
      throw asFileError(error, this.path, 'write');
    }
    this.board.append(line);
    return line;
  }
}
