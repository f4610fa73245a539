/** @file The page that reports are: text made safe, tables, one style for screen and paper, light and dark. */

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text as it may stand in HTML, attributes included. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => entities[c]!);

/** A table whose first column is text and whose others are numbers. Cells are plain text. */
export function htmlTable(caption: string, [head, ...rows]: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[], tag: 'th' | 'td', scope = '') =>
    row
      .map((cell, i) =>
        i === 0
          ? `<th scope="${scope || 'row'}">${escapeHtml(cell)}</th>`
          : `<${tag}>${escapeHtml(cell)}</${tag}>`,
      )
      .join('');
  const body = rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('\n');
  return `<div class="scroll"><table><caption>${escapeHtml(caption)}</caption>
<thead><tr>${cells(head ?? [], 'th', 'col')}</tr></thead>
<tbody>${body}</tbody></table></div>`;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5b6675; --line: #d9dee5; --ground: #ffffff; --panel: #f5f7f9;
  --wrong: #b3261e; --right: #1b6e3c; --notice: #fff4d6; --notice-line: #c98a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ee; --soft: #a0abb9; --line: #38424f; --ground: #14191f; --panel: #1d242c;
    --wrong: #ff8f84; --right: #7ad39a; --notice: #37301b; --notice-line: #d6a536; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 64rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, "DejaVu Sans", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.25rem 0 .75rem; }
p { margin: .4rem 0; max-width: 46rem; } .soft { color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.notice { border-left: 4px solid var(--notice-line); background: var(--notice); padding: .6rem .9rem; margin: 1rem 0; }
.tables { display: flex; flex-wrap: wrap; gap: 1.25rem 2rem; align-items: flex-start; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; white-space: nowrap; }
th, td { padding: .22rem .7rem .22rem 0; border-bottom: 1px solid var(--line); text-align: right; font-weight: 400; white-space: nowrap; }
th:first-child { text-align: left; } thead th { color: var(--soft); font-size: .85rem; }
th:last-child, td:last-child { padding-right: 0; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } .plots figure { margin: 0; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; overflow: hidden; } .plots svg { display: block; max-width: 100%; height: auto; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; padding: 0; margin: 0; list-style: none; }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; overflow: hidden; break-inside: avoid; }
.card img { display: block; width: 100%; height: 13rem; object-fit: contain; background: #000; }
.card div { padding: .6rem .75rem .75rem; } .card p { margin: 0 0 .35rem; } .card .question { font-weight: 600; }
.card dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem .6rem; margin: 0; font-size: .93rem; }
.card dt { color: var(--soft); } .card dd { margin: 0; overflow-wrap: anywhere; } .wrong { color: var(--wrong); } .right { color: var(--right); }
ul.plain { padding-left: 1.1rem; } ul.plain li { margin: .2rem 0; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; }
  .tables > *, .plots figure { break-inside: avoid; } .cards { grid-template-columns: repeat(3, 1fr); } .card img { height: 9rem; } }
`;

/** A page that needs no other file. `body` is HTML; `style` adds to that of all reports. */
export const htmlPage = (title: string, body: string, style = ''): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${escapeHtml(title)}</title>
<style>${STYLE}${style}</style>
</head>
<body>
${body}
</body>
</html>
`;
