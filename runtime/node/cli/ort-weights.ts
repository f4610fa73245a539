/** @file `ort-weights`: weights and adapters in and out. */
import type { AddCommand } from './main.js';
import { exportWebCommand } from './weights/export-web.js';

/** One file a command, in `weights/`. */
export const ortWeights: readonly AddCommand[] = [exportWebCommand];
