/** @file `ort-data`: looks at data sets, splits them, and writes them in instruction format. */
import type { AddCommand } from './main.js';

/** One file a command, in `data/`. */
export const ortData: readonly AddCommand[] = [];
