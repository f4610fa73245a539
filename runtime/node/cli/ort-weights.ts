/** @file `ort-weights`: weights and adapters in and out. */
import type { AddCommand } from './main.js';
import { importCommand } from './weights/import.js';

/** One file a command, in `weights/`. */
export const ortWeights: readonly AddCommand[] = [importCommand];
