/** @file The README's section on operators. */
import { type SupportedOperator, supportedOperators } from '../../../graph-builder/gradients/supported.js';

const START = '<!-- operators: npm run docs:operators -->';
const END = '<!-- /operators -->';

const named = (belongs: (o: SupportedOperator) => boolean): string =>
  supportedOperators()
    .filter(belongs)
    .map(({ op, domain }) => (domain ? `${domain}.${op}` : op))
    .join(', ');

/** A README with the list between its two marks brought up to date. */
export function withOperators(readme: string): string {
  const [before, rest] = readme.split(START);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`internal: the README lacks ${START} or ${END}`);
  const list = [
    `Differentiated: ${named((o) => o.differentiable)}.`,
    `Read, constant in the backward pass: ${named((o) => !o.differentiable && !o.internal)}.`,
    `Written, never read: ${named((o) => o.internal)}.`,
  ].join('\n\n');
  return `${before}${START}\n\n${list}\n\n${END}${after}`;
}
