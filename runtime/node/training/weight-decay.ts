/** @file Which trained tensors are spared weight decay. */
import { UserError } from '../../../graph-builder/errors.js';
import { globToRegExp, splitGlobs } from '../../../graph-builder/rewrites/glob.js';

/**
 * Names without weight decay.
 *
 * @param globs of parameter names, comma-separated; '' = none
 * @example withoutDecay('**.bias,**LayerNorm**', names)
 * @throws {UserError} with some names, for globs that match none: a slip would change the training silently.
 */
export function withoutDecay(globs: string, names: readonly string[]): ReadonlySet<string> {
  const patterns = globs === '' ? [] : splitGlobs(globs).map(globToRegExp);
  const matching = names.filter((name) => patterns.some((pattern) => pattern.test(name)));
  if (patterns.length > 0 && matching.length === 0)
    throw new UserError(
      `'${globs}' matches no trained tensor`,
      '--no-decay',
      `match names such as ${names.slice(0, 2).join(', ')}, or leave it out`,
    );
  return new Set(matching);
}
