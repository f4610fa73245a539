/** @file The folder of runs: names and the newest one. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../graph-builder/errors.js';
import { type VariantOptions, variantName } from '../../graph-builder/variant/parse.js';
import { DEFAULT_PLACEMENT } from '../../graph-builder/variant/placement.js';

export const RUNS = 'runs';
export const DEFAULT_PRESET = 'miss-tiny';

/** Folder of a variant: its name, and what differs from the defaults. */
export function runPath(
  { variant, preset, ...options }: VariantOptions & { variant?: string; preset: string },
  { out = RUNS, name }: { out?: string | undefined; name?: string | undefined },
): string {
  if (name) return join(out, name);
  const { placement } = options;
  const other = placement && placement.toUpperCase() !== DEFAULT_PLACEMENT && variant !== 'full';
  const parts = [
    variantName(variant, options),
    ...(other ? [placement.toLowerCase().replaceAll('/', '')] : []),
    ...(preset === DEFAULT_PRESET ? [] : [preset]),
  ];
  return join(out, parts.join('-'));
}

/** @throws {UserError} when there is no run yet. */
export function newestRun(out = RUNS): string {
  const runs = (existsSync(out) ? readdirSync(out) : [])
    .map((name) => join(out, name))
    .filter((run) => existsSync(join(run, 'manifest.json')))
    .map((run) => ({ run, time: statSync(join(run, 'manifest.json')).mtimeMs }));
  const newest = runs.sort((a, b) => b.time - a.time)[0];
  if (!newest) throw new UserError('there is no run yet', out, 'make one: build-graph --variant lora-r8');
  return newest.run;
}
