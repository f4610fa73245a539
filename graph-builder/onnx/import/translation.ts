/** @file What stands for a foreign node in our graph. */
import type { Operand } from './known.js';
import type { Site } from './site.js';

/** The values of the node's outputs: of new nodes, or of operands where nothing is computed. */
export type Translation = (c: Site) => readonly Operand[];
