/**
 * @file Event files: the bytes that TensorBoard has read (test/oracles/read_tensorboard.py), and what a reader of our
 * own finds in the file of a run. MILE_ORT_WRITE_GOLDEN=1 writes the file anew, for TensorBoard to read again.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { LogLine } from '../../../../runtime/node/training/events.js';
import { readLog } from '../../../../runtime/node/training/log.js';
import {
  EventMessage,
  encodeHead,
  encodeLine,
  maskedCrc,
} from '../../../../runtime/node/training/tensorboard.js';
import { build, copyOf, train } from './support.js';

type Row = readonly [tag: string, step: number, wallTime: number, value: number];

interface DecodedEvent {
  readonly wallTime: number;
  readonly step?: string;
  readonly fileVersion?: string;
  readonly sessionLog?: { readonly status: number };
  readonly summary?: { readonly value: readonly { readonly tag: string; readonly simpleValue: number }[] };
}

/** Records with their CRCs checked. */
function readEvents(bytes: Buffer): DecodedEvent[] {
  const events: DecodedEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 8)).toBe(maskedCrc(bytes.subarray(at, at + 8)));
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(maskedCrc(data));
    events.push(EventMessage.toObject(EventMessage.decode(data), { longs: String }) as DecodedEvent);
    at += length + 16;
  }
  return events;
}

const rowsOf = (events: readonly DecodedEvent[]): Row[] =>
  events
    .flatMap(({ step, wallTime, summary }) =>
      (summary?.value ?? []).map(({ tag, simpleValue }): Row => [tag, Number(step), wallTime, simpleValue]),
    )
    .sort(([a, s], [b, t]) => (a < b ? -1 : a > b ? 1 : s - t));

const golden = join('test', 'oracles', 'tensorboard');
const step = (n: number, loss: number): LogLine => ({
  ...{ type: 'step', step: n, epoch: 0, loss, tokenLoss: loss / 3, lr: 5e-4 / n, gradientNorm: 1.25 },
  ...{ samplesPerSecond: 100.5, lossScale: 2 ** 32, time: 1_700_000_000 + n, seconds: 0.25 },
});
const evaluation = { type: 'evaluation', epoch: 0, n: 184, time: 1_700_000_000.5, seconds: 2 } as const;
const nothing = null as unknown as number; // a share of no question, as JSON keeps it
const lines: LogLine[] = [
  { ...evaluation, step: 0, accuracy: 0.25, yesNo: 0.5, notYesNo: nothing },
  step(1, 9.75),
  step(2, 1e-30),
  step(300, 2.5e38),
  { ...evaluation, step: 300, accuracy: 1 / 3, yesNo: 0.5, notYesNo: 0.125, loss: 2.75 },
];

test('the bytes are those that TensorBoard has read, and our reader finds the same scalars', () => {
  const bytes = Buffer.concat([encodeHead(1_700_000_000), ...lines.map(encodeLine)]);
  const file = join(golden, 'events.out.tfevents.golden');
  if (process.env.MILE_ORT_WRITE_GOLDEN) writeFileSync(file, bytes);
  expect(bytes.equals(readFileSync(file))).toBe(true);
  const rows = rowsOf(readEvents(bytes));
  expect(rows).toEqual(JSON.parse(readFileSync(join(golden, 'scalars.golden.json'), 'utf8')));
  expect(rows).toHaveLength(3 * 6 + 2 + 4);
});

test('the CRC is Castagnoli turned and shifted', () => {
  const check = 0xe3069283; // of '123456789', as published
  const masked = (((check >>> 15) | (check << 17)) + 0xa282ead8) >>> 0;
  expect(maskedCrc(Buffer.from('123456789'))).toBe(masked);
});

describe('of a run', () => {
  const eventsOf = (run: string) => {
    const files = readdirSync(join(run, 'log')).filter((name) => name.includes('tfevents'));
    expect(files).toHaveLength(1);
    return readEvents(readFileSync(join(run, 'log', files[0]!)));
  };
  let run = '';
  beforeAll(async () => {
    run = copyOf(build());
    await train(run, { maxSteps: 4 });
  });

  test('a version, a start, then the log', () => {
    const [version, start] = eventsOf(run);
    expect(version!.fileVersion).toBe('brain.Event:2');
    expect(start!.sessionLog).toEqual({ status: 1 });
    const losses = rowsOf(eventsOf(run)).filter(([tag]) => tag === 'train/loss');
    expect(losses).toEqual(readLog(run).map((l) => ['train/loss', l.step, l.time, Math.fround(l.loss!)]));
  });

  test('resumed from an earlier checkpoint, no step stands in it twice', async () => {
    const resumed = copyOf(run);
    const [name] = readdirSync(join(resumed, 'log')).filter((n) => n.includes('tfevents'));
    const file = join(resumed, 'log', name!);
    // what a kill leaves: a step beyond the checkpoint, and half a record
    writeFileSync(
      file,
      Buffer.concat([readFileSync(file), encodeLine(step(5, 1)), encodeLine(step(6, 1)).subarray(0, 20)]),
    );
    await train(resumed, { resume: true });
    const steps = rowsOf(eventsOf(resumed)).flatMap(([tag, n]) => (tag === 'train/loss' ? [n] : []));
    expect(steps).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
});
