/** @file `ort-data`: looks at data sets, splits them, and writes them in instruction format. */
import { check } from './data/check.js';
import { inspect } from './data/inspect.js';
import { instruct } from './data/instruct.js';
import { split } from './data/split.js';
import type { AddCommand } from './main.js';

/** One file a command, in `data/`. */
export const ortData: readonly AddCommand[] = [inspect, check, split, instruct];
