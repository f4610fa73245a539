/** @file The 23 rows of the paper's Tables 1 to 4. */

export interface PaperRow {
  readonly table: 1 | 2 | 3 | 4;
  readonly variant: string;
  readonly placement: string;
  /** trainable parameters in percent of all, as printed */
  readonly percent: number;
}

const rows = (
  table: PaperRow['table'],
  variant: string,
  percents: Readonly<Record<string, number>>,
): PaperRow[] =>
  Object.entries(percents).map(([placement, percent]) => ({ table, variant, placement, percent }));

/** Source: Tables 1 (LoRA), 2 (Prefix), 3 ((IA)3) and 4 (P-tuning v2) of the paper; T and F as there, P its method. */
export const paperRows: readonly PaperRow[] = [
  ...rows(1, 'lora-r4', {
    'F/P/P': 0.163,
    'P/P/P': 0.327,
    'F/T/P': 38.022,
    'T/P/P': 24.009,
    'T/T/P': 61.887,
  }),
  ...rows(1, 'lora-r8', {
    'F/P/P': 0.325,
    'P/P/P': 0.652,
    'F/T/P': 38.072,
    'T/P/P': 24.133,
    'T/T/P': 61.919,
  }),
  ...rows(2, 'prefix-n10', { 'F/F/P': 3.926, 'F/P/P': 7.556, 'T/P/P': 29.636, 'T/T/P': 63.354 }),
  ...rows(3, 'ia3', { 'F/P/P': 0.051, 'P/P/P': 0.061, 'T/P/P': 23.924, 'F/T/P': 37.987, 'T/T/P': 61.866 }),
  ...rows(4, 'ptv2-n10', { 'F/F/P': 0.051, 'F/P/P': 0.102, 'T/P/P': 23.963, 'T/T/P': 61.876 }),
];
