/** @file The README's section on operators. */
import { supportedOperators } from '../../../graph-builder/gradients/supported.js';

const START = '<!-- operators: npm run docs:operators -->';
const END = '<!-- /operators -->';

const named = (differentiable: boolean): string =>
  supportedOperators()
    .filter((o) => o.differentiable === differentiable)
    .map(({ op, domain }) => (domain ? `${domain}.${op}` : op))
    .join(', ');

/** A README with the list between its two marks brought up to date. */
export function withOperators(readme: string): string {
  const [before, rest] = readme.split(START);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`internal: the README lacks ${START} or ${END}`);
  const list = `Differentiated: ${named(true)}.\n\nRead, constant in the backward pass: ${named(false)}.`;
  return `${before}${START}\n\n${list}\n\n${END}${after}`;
}
