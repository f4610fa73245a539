/** @file Prints what was measured. */

export type Row = Readonly<Record<string, string | number>>;

export interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
}

const format = (value: string | number | undefined): string => {
  if (typeof value !== 'number') return value ?? '';
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 10 ? 2 : 0);
};

/** The rows under their column names, numbers to the right. */
export function formatSection({ title, rows }: Section): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = [columns, ...rows.map((row) => columns.map((c) => format(row[c])))];
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  const numeric = columns.map((c) => rows.some((row) => typeof row[c] === 'number'));
  const lines = cells.map((row) =>
    row.map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('  '),
  );
  return [title, ...lines.map((line) => `  ${line}`.trimEnd())].join('\n');
}
