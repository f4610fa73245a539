/** @file A report as blocks, written as Markdown or as a page. `code` and **bold** are the only marks in texts. */

export interface TableBlock {
  readonly kind: 'table';
  readonly head: readonly string[];
  /** titles above several columns, in order; their spans add up to the columns */
  readonly groups?: readonly { readonly title: string; readonly span: number }[];
  readonly rows: readonly (readonly string[])[];
  /** columns from the left that hold words: the others are numbers */
  readonly words: number;
}

export type Block =
  | { readonly kind: 'heading'; readonly level: 1 | 2 | 3; readonly text: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | TableBlock
  | { readonly kind: 'figure'; readonly name: string; readonly title: string; readonly caption: string };

export const heading = (level: 1 | 2 | 3, text: string): Block => ({ kind: 'heading', level, text });
export const text = (...parts: string[]): Block => ({ kind: 'text', text: parts.join(' ') });
export const list = (items: readonly string[]): Block => ({ kind: 'list', items });
