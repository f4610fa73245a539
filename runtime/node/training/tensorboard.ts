/** @file The log of a run as TensorBoard reads it: records of protobuf events. */
import { appendFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import crc32c from 'crc-32/crc32c.js';
import protobuf from 'protobufjs';
import { asFileError } from '../../../training-artifacts/files.js';
import type { LogLine } from './events.js';

/** Source: tensorboard/compat/proto/{event,summary}.proto, the fields that scalars need. */
const schema = `syntax = "proto3";
message Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; Session session_log = 7; }
message Summary { repeated Value value = 1; }
message Value { string tag = 1; float simple_value = 2; }
message Session { int32 status = 1; }`;
export const EventMessage = protobuf.parse(schema).root.lookupType('Event');

const START = 1;
/** Lines encoded at once when a whole log is. */
const PIECE = 1000;

/** CRC-32C turned by 15 bits plus a constant, since a CRC of data that hold CRCs is weak. Source: TFRecord. */
export function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c.buf(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** uint64 length, its CRC, the data, their CRC; all little-endian. Source: TFRecord. */
function record(data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(data.length + 16);
  bytes.writeBigUInt64LE(BigInt(data.length));
  bytes.writeUInt32LE(maskedCrc(bytes.subarray(0, 8)), 8);
  bytes.set(data, 12);
  bytes.writeUInt32LE(maskedCrc(data), 12 + data.length);
  return bytes;
}

const encode = (event: object): Buffer =>
  record(EventMessage.encode(EventMessage.fromObject(event)).finish());

/** What TensorBoard shows of a line, by tag. */
function scalars(line: LogLine): Record<string, number | undefined> {
  if (line.type === 'evaluation') {
    return {
      'validation/accuracy': line.accuracy,
      'validation/yes_no': line.yesNo,
      'validation/others': line.notYesNo,
      'validation/loss': line.loss,
    };
  }
  return {
    'train/loss': line.loss,
    'train/token_loss': line.tokenLoss,
    'train/lr': line.lr,
    'train/gradient_norm': line.gradientNorm,
    'train/samples_per_second': line.samplesPerSecond,
    'train/loss_scale': line.lossScale,
  };
}

/** A line of the log as one record. Shares of nothing are null in JSON and left out. */
export function encodeLine(line: LogLine): Buffer {
  const value = Object.entries(scalars(line))
    .filter(([, v]) => typeof v === 'number')
    .map(([tag, simpleValue]) => ({ tag, simpleValue }));
  return encode({ wallTime: line.time, step: line.step, summary: { value } });
}

/** First records of a file: its version, and that what was shown of this run before is void. */
export const encodeHead = (wallTime: number): Buffer =>
  Buffer.concat([
    encode({ wallTime, fileVersion: 'brain.Event:2' }),
    encode({ wallTime, step: 0, sessionLog: { status: START } }),
  ]);

/** The event file of a run, made anew from its log at every start so that no step stands in it twice. */
export class EventFile {
  private readonly path: string;

  /** @param folder gets events.out.tfevents.*; older ones are removed once the new one is whole. */
  constructor(folder: string, lines: readonly LogLine[]) {
    const time = Date.now() / 1000;
    const name = `events.out.tfevents.${Math.floor(time)}.mile-ort.${process.pid}`;
    this.path = join(folder, name);
    this.write(() => {
      mkdirSync(folder, { recursive: true });
      writeFileSync(this.path, encodeHead(time));
      for (let at = 0; at < lines.length; at += PIECE)
        appendFileSync(this.path, Buffer.concat(lines.slice(at, at + PIECE).map(encodeLine)));
      const others = readdirSync(folder).filter((f) => f.startsWith('events.out.tfevents.') && f !== name);
      for (const other of others) rmSync(join(folder, other), { force: true });
    });
  }

  append(line: LogLine): void {
    this.write(() => appendFileSync(this.path, encodeLine(line)));
  }

  private write(act: () => void): void {
    try {
      act();
    } catch (error) {
      throw asFileError(error, this.path, 'write');
    }
  }
}
