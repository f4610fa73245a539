/** @file A report as Markdown, its figures in files beside it. */
import type { Block, TableBlock } from './document.js';

const cell = (words: string): string => words.replaceAll('|', '\\|').replaceAll('\n', ' ');

function table({ head, groups, rows, words }: TableBlock): string {
  // Markdown has one line of headings: a group's title goes before each of its columns
  const titles = groups?.flatMap(({ title, span }) => Array.from({ length: span }, () => title)) ?? [];
  const full = head.map((name, i) => [titles[i], name].filter(Boolean).join(' '));
  const rule = head.map((_, i) => (i < words ? '---' : '---:'));
  return [full, rule, ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');
}

function block(part: Block): string {
  switch (part.kind) {
    case 'heading':
      return `${'#'.repeat(part.level)} ${part.text}`;
    case 'text':
      return part.text;
    case 'list':
      return part.items.map((item) => `- ${item.replaceAll('\n', ' ')}`).join('\n');
    case 'table':
      return table(part);
    case 'figure':
      return `**${part.title}**\n\n![${part.title}](figures/${part.name}.svg)\n\n${part.caption}`;
  }
}

export const toMarkdown = (blocks: readonly Block[]): string => `${blocks.map(block).join('\n\n')}\n`;
