/** @file The grids that ship: the rows of the paper's Tables 1 to 7, and a quick choice of them. */
import { paperRows } from '../../../graph-builder/variant/paper-rows.js';
import { methodNames, methodOf } from './paper.js';
import { BASE, type DataForm, type Flags, type Row } from './row.js';

export interface GridOptions {
  readonly preset: string;
  readonly epochs?: number | undefined;
  /** base weights and their image statistics, as build-graph takes them */
  readonly weights?: string | undefined;
  readonly normalisation?: string | undefined;
}

/** Epochs below which a row counts as not trained to the end. */
export const LEAST_EPOCHS = 10;
const EPOCHS = 12;

/**
 * How the rows of the paper are trained. Its own rate (1e-5 to 2e-5) and 130 to 150 epochs are for 361 million
 * parameters on a GPU. Here all rows have 12 epochs, which two seeds of Tables 1 to 4 end in less than 3 hours on 2
 * cores; adapters alone get a larger rate than whole modules, and at miss-tiny no dropout, as its base was trained.
 * One rate a group: as in the paper, none was tuned row by row.
 */
function trainFlags(placement: string, { preset, epochs }: GridOptions): Flags {
  const own = placement.includes('T');
  const lr = preset === 'miss-base' ? 2e-5 : own ? 5e-4 : 2e-3;
  return { epochs: epochs ?? EPOCHS, 'batch-size': 32, lr, 'eval-every': 4 };
}

/** What all rows of a grid are built with. */
const buildFlags = ({ preset, weights, normalisation }: GridOptions): Flags => ({
  ...(preset === 'miss-tiny' ? { 'module-dropout': 0 } : {}),
  ...baseFlags({ weights, normalisation }),
});

export const baseFlags = ({ weights, normalisation }: Omit<GridOptions, 'preset'>): Flags => ({
  ...(weights !== undefined && { weights }),
  ...(normalisation !== undefined && { normalisation }),
});

/** Instruction data have longer questions. */
const INSTRUCTION_TOKENS = 128;

const short = (placement: string): string => placement.toLowerCase().replaceAll('/', '');

interface RowParts {
  readonly variant: string;
  readonly placement: string;
  readonly form: DataForm;
  readonly tables: number[];
  readonly id?: string;
  readonly label?: string;
  readonly after?: string;
}

function rowOf({ variant, placement, form, tables, after, ...named }: RowParts, options: GridOptions): Row {
  const instruct = form === 'instruction';
  const name = `${variant}-${short(placement)}`;
  return {
    id: named.id ?? (instruct ? `${name}-instruct` : name),
    label: named.label ?? `${variant} ${placement}${instruct ? ', instruction data' : ''}`,
    tables,
    variant,
    placement,
    form,
    after: after ?? null,
    trained: true,
    // the second stage takes the first one's weights: its graphs must have the same limits
    build: { ...buildFlags(options), ...(instruct && { 'max-question-tokens': INSTRUCTION_TOKENS }) },
    train: trainFlags(placement, options),
    varied: {},
  };
}

/** The base without any training: what tuning has to beat. */
const baseRow = (options: GridOptions): Row => ({
  ...rowOf({ variant: 'full', placement: 'T/T/T', form: 'original', tables: [] }, options),
  id: BASE,
  label: 'base, not tuned',
  trained: false,
});

/** Table 5: what it says of MISS and MILE. */
const fullRows = (options: GridOptions): Row[] => {
  const full = { variant: 'full', placement: 'T/T/T', tables: [5] };
  return [
    rowOf({ ...full, form: 'original', id: 'full', label: 'full' }, options),
    rowOf(
      {
        ...full,
        form: 'instruction',
        id: 'full-then-instruct',
        label: 'full, then instruction data',
        after: 'full',
      },
      options,
    ),
    rowOf(
      { ...full, form: 'instruction', id: 'full-instruct', label: 'full, instruction data only' },
      options,
    ),
  ];
};

/** The most telling rows first, so that an interrupted study has a useful table. */
const placements = ['T/T/P', 'F/P/P', 'T/P/P', 'P/P/P', 'F/T/P', 'F/F/P'];
const variants = ['lora-r8', 'prefix-n10', 'ia3', 'ptv2-n10', 'lora-r4'];
const byUse = (a: Row, b: Row): number => {
  const rank = ({ variant, placement }: Row) =>
    (variant === 'lora-r4' ? 100 : 0) + 10 * placements.indexOf(placement) + variants.indexOf(variant);
  return rank(a) - rank(b);
};

/** The 23 rows of Tables 1 to 4, or the same on instruction data: Table 6 has LoRA's, Table 7 the others'. */
function gridRows(form: DataForm, options: GridOptions): Row[] {
  const rows = paperRows.map(({ table, variant, placement }) =>
    rowOf({ variant, placement, form, tables: [form === 'original' ? table : table === 1 ? 6 : 7] }, options),
  );
  return rows.sort(byUse);
}

/** All rows of the paper's Tables 1 to 7, the base before them. */
export function paperGrid(tables: readonly number[], options: GridOptions): Row[] {
  const wanted = ({ tables: of }: Row) => of.some((t) => tables.includes(t));
  const rows = [...gridRows('original', options), ...fullRows(options), ...gridRows('instruction', options)];
  return [baseRow(options), ...rows.filter(wanted)];
}

/** The base, each method at the paper's best and one frozen placement, and full training: 10 epochs. */
export function quickGrid(given: GridOptions): Row[] {
  const options = { ...given, epochs: given.epochs ?? LEAST_EPOCHS };
  const chosen = ['lora-r8-ttp', 'lora-r8-fpp', 'prefix-n10-ttp', 'ia3-ttp', 'ptv2-n10-ttp'];
  const rows = gridRows('original', options).filter(({ id }) => chosen.includes(id));
  return [baseRow(options), ...rows, fullRows(options)[0]!];
}

/** 'lora-r8' at T/T/P -> ['T', 'T', 'LoRA'] */
export const cellsOf = ({ variant, placement }: Pick<Row, 'variant' | 'placement'>): string[] =>
  placement.split('/').map((cell) => (cell === 'P' ? (methodNames[methodOf(variant)] ?? variant) : cell));
