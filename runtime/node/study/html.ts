/** @file A report as one page: style and figures inside, nothing loaded from anywhere. */
import { escapeHtml, htmlPage } from '../scoring/html.js';
import type { Block, TableBlock } from './document.js';

const inline = (words: string): string =>
  escapeHtml(words)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>');

/** Wide tables with groups of columns, figures of their own: beside the style of all reports. */
const STYLE = `
body { max-width: 82rem; }
h2 { padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
ul { padding-left: 1.25rem; } li { margin: .25rem 0; max-width: 46rem; }
code { font: .875em ui-monospace, "DejaVu Sans Mono", monospace; background: var(--panel); padding: .1em .3em;
  border-radius: 3px; overflow-wrap: anywhere; }
.scroll { margin: .75rem 0 1.25rem; }
table { font-size: .8rem; }
th, td, th:last-child, td:last-child { padding: .28rem .45rem; }
th, th:first-child { color: var(--soft); font-weight: 600; vertical-align: bottom; text-align: right; }
th[colspan] { text-align: center; }
th.start, td.start { border-left: 1px solid var(--line); }
td.word, th.word, th.word:first-child { text-align: left; }
td.long { white-space: normal; min-width: 16rem; max-width: 30rem; }
tbody tr:hover { background: var(--panel); }
figure { margin: 1.25rem 0 2rem; break-inside: avoid; } figure h3 { margin-top: 0; } figure .scroll { margin: 0; }
figure svg { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .875rem; max-width: 46rem; margin-top: .25rem; }
`;

/** Columns that start a group have a line before them. */
const starts = ({ groups = [] }: TableBlock): Set<number> =>
  new Set(
    groups.map((_, i) => groups.slice(0, i).reduce((sum, { span }) => sum + span, 0)).filter((at) => at > 0),
  );

/** Cells with more words than this may break. */
const LONG = 40;

function table(part: TableBlock, name: string): string {
  const { head, groups, rows, words } = part;
  const first = starts(part);
  const classes = (i: number, cell = '') =>
    [i < words && 'word', first.has(i) && 'start', i < words && cell.length > LONG && 'long']
      .filter(Boolean)
      .join(' ');
  const cells = (tag: string, row: readonly string[]) =>
    row.map((cell, i) => `<${tag} class="${classes(i, cell)}">${inline(cell)}</${tag}>`).join('');
  const above = groups?.map(({ title, span }, i) => {
    const start = i > 0 ? ' class="start"' : '';
    return title === ''
      ? `<td colspan="${span}"${start}></td>`
      : `<th colspan="${span}"${start} scope="colgroup">${inline(title)}</th>`;
  });
  const heads = `${above ? `<tr>${above.join('')}</tr>` : ''}<tr>${cells('th', head)}</tr>`;
  const body = rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('\n');
  // scrollable regions must be reachable by keyboard
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(name)}"><table><thead>${heads}</thead><tbody>\n${body}\n</tbody></table></div>`;
}

/** An SVG as part of a page, with a name for those who cannot see it. */
const embedded = (svg: string, title: string): string =>
  svg.replace(/^[\s\S]*?<svg/, `<svg role="img" aria-label="${escapeHtml(title)}"`).trim();

/** @param above the heading that it stands under */
function block(part: Block, above: string, figures: ReadonlyMap<string, string>): string {
  switch (part.kind) {
    case 'heading':
      return `<h${part.level}>${inline(part.text)}</h${part.level}>`;
    case 'text':
      return `<p>${inline(part.text)}</p>`;
    case 'list':
      return `<ul>\n${part.items.map((item) => `<li>${inline(item)}</li>`).join('\n')}\n</ul>`;
    case 'table':
      return table(part, `table: ${above}`);
    case 'figure':
      return `<figure><h3>${inline(part.title)}</h3><div class="scroll">${embedded(figures.get(part.name)!, part.title)}</div><figcaption>${inline(part.caption)}</figcaption></figure>`;
  }
}

const headingAbove = (blocks: readonly Block[], at: number): string =>
  blocks
    .slice(0, at)
    .findLast((part) => part.kind === 'heading')
    ?.text.replaceAll('`', '') ?? '';

/** @param figures SVG of each figure by name, in the page's own colours. */
export function toHtml(
  title: string,
  blocks: readonly Block[],
  figures: ReadonlyMap<string, string>,
): string {
  const body = blocks.map((part, i) => block(part, headingAbove(blocks, i), figures)).join('\n');
  return htmlPage(title, `<main>\n${body}\n</main>`, STYLE);
}
