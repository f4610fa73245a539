/** @file `ort-weights`: weights and adapters in and out. */
import type { AddCommand } from './main.js';
import { exportAdapterCommand } from './weights/export-adapter.js';

/** One file a command, in `weights/`. */
// biome-ignore format: a line a command
export const ortWeights: readonly AddCommand[] = [
  exportAdapterCommand,
];
