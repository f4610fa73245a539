/** @file Writes dataset.json: the flags that a table was read with. */
import { statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { Dataset } from '../../../../datasets/dataset.js';
import type { ReadOptions } from '../../../../datasets/formats/format.js';
import { SETTINGS } from '../../../../datasets/formats/settings.js';
import { isShipped } from '../../../../datasets/open-dataset.js';
import { UserError } from '../../../../graph-builder/errors.js';
import { writeJson } from '../../../../training-artifacts/files.js';
import { readOptions } from '../../data.js';

/** The folder named by --image-root, seen from the table: the data set can be moved as a whole. */
function seenFrom(folder: string, root: string): string {
  const path = relative(resolve(folder), resolve(root));
  return path === '' ? '.' : isAbsolute(path) ? resolve(root) : path;
}

/** @throws {UserError} for a data set that ships. */
export function saveSettings(
  flags: Partial<ReadOptions> & { readonly data: string },
  { name, licence }: Dataset,
): void {
  if (isShipped(flags.data))
    throw new UserError('a data set that ships has its settings', '--save', 'leave it out');
  const folder = statSync(flags.data).isDirectory() ? flags.data : dirname(flags.data);
  const told = Object.entries(readOptions(flags)).filter(([, value]) => value !== undefined);
  const { imageRoot } = flags;
  writeJson(join(folder, SETTINGS), {
    name,
    licence,
    ...Object.fromEntries(told),
    ...(imageRoot && { imageRoot: seenFrom(folder, imageRoot) }),
  });
}
