/** @file A data set by its name, or from a folder or table of any known format. */
import { isAbsolute, join } from 'node:path';
import { UserError } from '../graph-builder/errors.js';
import type { Dataset } from './dataset.js';
import {
  openSource,
  type ReadContext,
  type ReadOptions,
  readDefaults,
  type Source,
} from './formats/format.js';
import { formats } from './formats/formats.js';
import { readSettings } from './formats/settings.js';
import { loadVqaRad } from './vqa-rad.js';

/** Shipped with the package. */
export const shippedNames = ['vqa-rad'] as const;

export const isShipped = (data: string): boolean => (shippedNames as readonly string[]).includes(data);

export interface OpenOptions extends Partial<ReadOptions> {
  /** reads the rows alone: images may lie elsewhere */
  readonly textOnly?: boolean;
}

/** @throws {UserError} when there is nothing at the path. */
export function sourceOf(path: string): Source {
  try {
    return openSource(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? `unknown data set '${path}'` : `'${path}' cannot be read (${code})`;
    throw new UserError(
      what,
      '--data',
      `choose from ${shippedNames.join(', ')}, or give a path: ${formats.map((f) => f.describe).join('; ')}`,
      { cause: error },
    );
  }
}

/** Flags win over dataset.json; a folder named there is relative to it. */
function contextOf(source: Source, { textOnly = false, ...given }: OpenOptions): ReadContext {
  const { name: _, licence: __, ...saved } = readSettings(source);
  const { imageRoot } = saved;
  const root = imageRoot && !isAbsolute(imageRoot) ? join(source.folder, imageRoot) : imageRoot;
  const told = Object.entries(given).filter(([, value]) => value !== null && value !== undefined);
  const options = {
    ...readDefaults,
    ...saved,
    ...(root && { imageRoot: root }),
    ...Object.fromEntries(told),
  };
  return { ...options, skipBad: given.skipBad || saved.skipBad || false, textOnly };
}

/**
 * @param data `vqa-rad`, or the path of a folder or a table
 * @throws {UserError} when there is no such thing, and {@link FileError} when it cannot be read.
 */
export async function openDataset(data: string, options: OpenOptions = {}): Promise<Dataset> {
  if (isShipped(data)) return loadVqaRad();
  const source = sourceOf(data);
  const format = formats.find((f) => f.detect(source))!;
  const { name, licence } = readSettings(source);
  const dataset = await format.read(source, contextOf(source, options));
  return { ...dataset, ...(name && { name }), ...(licence && { licence }) };
}
