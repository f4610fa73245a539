/** @file The child process of a measurement: a driver that crashes takes only this one with it. */
import { UserError } from '../../../graph-builder/errors.js';
import { type Measured, type MeasureJob, measure } from './measure.js';

export type MeasureReply =
  | { readonly type: 'measured'; readonly measured: Measured }
  | { readonly type: 'failed'; readonly what: string; readonly remedy: string };

async function reply(job: MeasureJob): Promise<MeasureReply> {
  try {
    return { type: 'measured', measured: await measure(job) };
  } catch (error) {
    if (error instanceof UserError) return { type: 'failed', what: error.what, remedy: error.remedy };
    return { type: 'failed', what: String(error), remedy: 'use another device' };
  }
}

process.on('disconnect', () => process.exit(1));
process.on('message', async (job: MeasureJob) => {
  const answer = await reply(job);
  process.send!(answer, () => process.exit(0));
});
