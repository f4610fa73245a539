/** @file File names that may identify a patient. Rules of thumb: they find much, not all, and say it without repeating it. */

interface Rule {
  readonly says: string;
  readonly pattern: RegExp;
}

const month = '(?:0[1-9]|1[0-2])';
const day = '(?:0[1-9]|[12]\\d|3[01])';
const year = '(?:19|20)\\d\\d';

/** The first rule that fits a name is its reason. */
const rules: readonly Rule[] = [
  { says: 'a DICOM identifier', pattern: /(^|[^\d])[012]\.\d+(\.\d+){4,}/ },
  { says: 'a name with caret or comma', pattern: /\p{L}{2,}\s*[\^,]\s*\p{L}+/u },
  // not mr and dr: they are kinds of images, too
  { says: 'a title', pattern: /(^|[^\p{L}])(mrs|herr|frau|mme|monsieur|madame)[. _-]+\p{L}{2,}/iu },
  { says: 'an e-mail address', pattern: /[^\s@/]+@[^\s@/]+\.\p{L}{2,}/u },
  {
    says: 'a record number',
    pattern: /(mrn|pid|pat|patient|patid|case|acc|accession|fall|ssn|nhs)[-_ #]*(id|no|nr)?[-_ #]*\d{4,}/i,
  },
  {
    says: 'a date',
    pattern: new RegExp(
      `(?<!\\d)(?:${year}([-_. ]?)${month}\\1${day}|${day}([-_. ])${month}\\2${year})(?!\\d)`,
    ),
  },
  { says: 'a long number', pattern: /(?<!\d)\d{8,}(?!\d)/ },
];

/** A hash or a random identifier: its digits say nothing. */
const isRandom = (part: string) =>
  /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(part) ||
  (/^[0-9a-f]{16,}$/i.test(part) && /[a-f]/i.test(part));

const withoutEnding = (part: string) => part.replace(/\.\p{L}[\p{L}\d]{1,4}$/u, '');

/** Letters become x or X, digits 9: shows what was found, and not whom it names. */
export const shapeOf = (name: string): string => {
  const shape = withoutEnding(name)
    .replace(/\p{L}/gu, (letter) => (letter === letter.toLowerCase() ? 'x' : 'X'))
    .replace(/\d/g, '9');
  return shape.length > 40 ? `${shape.slice(0, 40)}…` : shape;
};

/**
 * Why a path looks as if it named a patient; undefined if it does not.
 *
 * @example identifierIn('ct/DOE^JOHN.png') // 'a name with caret or comma'
 */
export function identifierIn(path: string): string | undefined {
  for (const part of path.split('/').map(withoutEnding)) {
    const found = isRandom(part) ? undefined : rules.find(({ pattern }) => pattern.test(part));
    if (found) return found.says;
  }
  return undefined;
}

/** A name for messages: one that looks like a patient's is not repeated. */
export const safeName = (path: string): string => (identifierIn(path) ? shapeOf(path) : path);
