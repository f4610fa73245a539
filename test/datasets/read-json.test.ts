/** @file JSON files that are no use say what is wrong and what to do. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { MOST_BYTES, readJson } from '../../datasets/read-json.js';
import { temporaryFolder } from '../runtime/node/runs.js';

const file = join(temporaryFolder(), 'file.json');
const read = () => readJson(file, z.array(z.number()), 'write it again');

test('a file above what a string holds is refused by its size, before it is read', () => {
  writeFileSync(file, '[1]');
  expect(read()).toEqual([1]);
  truncateSync(file, MOST_BYTES + 1); // sparse: it takes no room
  expect(read).toThrow(
    /^0\.5 GB of JSON, which is read whole: more than 0\.5 GB do not fit a string\n {2}where: .*file\.json\n {2}to do: check that this is the right file; write it again$/,
  );
});

test('a file that is missing, cut off or of another form', () => {
  expect(() => readJson(`${file}.none`, z.unknown(), 'write it')).toThrow(/^file not found\n/);
  writeFileSync(file, '[1, 2');
  expect(read).toThrow(/^damaged or truncated JSON of 5 characters: /);
  writeFileSync(file, '["1"]');
  expect(read).toThrow(/^unexpected content: /);
});
