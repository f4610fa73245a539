/** @file A session on demand: opened when it is first needed, given back, opened anew. */
import { expect, test } from 'vitest';
import { OnDemandSession } from '../../../runtime/core/on-demand.js';
import { float32, type Session } from '../../../runtime/core/session.js';

test('opens at the first run only, and again after it was released', async () => {
  const events: string[] = [];
  const open = async (): Promise<Session> => {
    events.push('open');
    return {
      ...{ inputNames: [], outputNames: [] },
      run: async () => ({ y: float32(Float32Array.of(events.push('run')), [1]) }),
      release: async () => void events.push('release'),
    };
  };
  const session = new OnDemandSession(open);
  await session.release();
  expect(events).toEqual([]);
  await session.run({});
  await session.run({});
  await session.release();
  await session.release();
  await session.run({});
  expect(events).toEqual(['open', 'run', 'run', 'release', 'open', 'run']);
});
