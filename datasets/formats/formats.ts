/** @file The formats that `--data PATH` may have; the first that recognises a folder or file reads it. */
import type { DataFormat } from './format.js';
import { instruction } from './instruction.js';
import { slake } from './slake.js';
import { table } from './table.js';
import { vqaRadPublished } from './vqa-rad-published.js';

/** Any table comes last: it takes what no other knows. */
export const formats: readonly DataFormat[] = [instruction, slake, vqaRadPublished, table];
