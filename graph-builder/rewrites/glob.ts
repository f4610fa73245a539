/** @file Patterns over parameter names. */

/** '*' matches within a name part, '**' across parts, '{a,b}' either: `*.layer.*.attention.self.{query,key}`. */
export function globToRegExp(glob: string): RegExp {
  const source = glob.replace(/\*\*|\*|\{[^}]*\}|[.+?^$()|[\]\\]/g, (token) => {
    if (token === '**') return '.*';
    if (token === '*') return '[^.]*';
    if (token.startsWith('{'))
      return `(?:${token
        .slice(1, -1)
        .split(',')
        .map((part) => part.replace(/[.+?^$()|[\]\\*]/g, '\\$&'))
        .join('|')})`;
    return `\\${token}`;
  });
  return new RegExp(`^${source}$`);
}

/** Globs of a comma-separated list; commas in braces belong to their glob. */
export const splitGlobs = (list: string): string[] => list.split(/,(?![^{]*\})/).map((glob) => glob.trim());
