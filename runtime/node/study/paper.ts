/** @file The paper's own figures, to stand beside ours. */
import { join } from 'node:path';
import { packageRoot } from '../../../datasets/package-root.js';
import { readJson } from '../../../training-artifacts/files.js';

/** Percent of the test questions; closed: answered yes or no. */
export interface PaperScores {
  readonly open: number | null;
  readonly closed: number | null;
  readonly all: number;
}

export interface PaperFigures extends PaperScores {
  readonly variant: string;
  readonly placement: string;
  /** trainable parameters in percent of all */
  readonly percent: number;
  /** GPU memory at batch 20, 480 x 480 pixels */
  readonly memoryGb?: number;
}

export interface PaperMethod {
  readonly method: string;
  readonly tuning: string;
  readonly task: string;
  readonly pretrainImages: number;
  readonly vqaRad: PaperScores;
  readonly slake: PaperScores;
}

export interface Paper extends Record<`table${1 | 2 | 3 | 4 | 6 | 7}`, readonly PaperFigures[]> {
  readonly source: string;
  readonly benchmark: string;
  readonly note: string;
  readonly table5: readonly PaperMethod[];
}

let paper: Paper | undefined;

/** Tables 1 to 7. */
export function paperFigures(): Paper {
  paper ??= readJson(join(packageRoot(), 'runtime', 'node', 'study', 'paper-figures.json')) as Paper;
  return paper;
}

export const gridTables = [1, 2, 3, 4, 6, 7] as const;

/** A row of Tables 1 to 4, 6 or 7. */
export const figuresOf = (table: number, variant: string, placement: string): PaperFigures | undefined =>
  gridTables
    .filter((t) => t === table)
    .flatMap((t) => paperFigures()[`table${t}`])
    .find((row) => row.variant === variant && row.placement === placement);

/** Titles of the tables, in our words. */
export const tableTitles: Readonly<Record<number, string>> = {
  1: 'Table 1: LoRA',
  2: 'Table 2: prefix tuning',
  3: 'Table 3: (IA)3',
  4: 'Table 4: P-tuning v2',
  5: 'Table 5: full training, instruction data, and both in turn',
  6: 'Table 6: LoRA on instruction data',
  7: 'Table 7: (IA)3, prefix and P-tuning v2 on instruction data',
};

export const methodNames: Readonly<Record<string, string>> = {
  lora: 'LoRA',
  rslora: 'rsLoRA',
  dora: 'DoRA',
  prefix: 'Prefix',
  ia3: 'IA3',
  ptv2: 'PTV2',
  full: 'full',
};

/** 'lora-r8' -> 'lora' */
export const methodOf = (variant: string): string => variant.replace(/-[rn]\d+$/, '');
