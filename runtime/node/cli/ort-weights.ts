/** @file `ort-weights`: weights and adapters in and out. */
import type { AddCommand } from './main.js';
import { exportCommand } from './weights/export.js';
import { exportAdapterCommand } from './weights/export-adapter.js';
import { exportWebCommand } from './weights/export-web.js';
import { importCommand } from './weights/import.js';
import { inspectCommand } from './weights/inspect.js';

/** One file a command, in `weights/`. */
// biome-ignore format: a line a command
export const ortWeights: readonly AddCommand[] = [
  exportAdapterCommand,
  importCommand,
  inspectCommand,
  exportCommand,
  exportWebCommand,
];
