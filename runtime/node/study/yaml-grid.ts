/** @file Grids of one's own: a YAML file whose lists are crossed. */
import { LineCounter, type Node, parseDocument } from 'yaml';
import { z } from 'zod';
import { UserError } from '../../../graph-builder/errors.js';
import { recomputeModes } from '../../../graph-builder/rewrites/recompute.js';
import { parsePlacement } from '../../../graph-builder/variant/placement.js';
import { readFile } from '../../../training-artifacts/files.js';
import { scheduleNames } from '../../core/schedule.js';
import { methodNames } from './paper.js';
import { baseFlags, type GridOptions, LEAST_EPOCHS } from './paper-grid.js';
import type { Flags, Row } from './row.js';

const oneOrMore = <T extends z.ZodType>(value: T) => z.union([value, z.array(value).nonempty()]);
const count = oneOrMore(z.number().int().positive());
const positive = oneOrMore(z.number().positive());
const share = oneOrMore(z.number().min(0).max(1));
const text = oneOrMore(z.string().min(1));
const whole = oneOrMore(z.number().int().nonnegative());
const placement = z.string().refine((t) => /^[FTP]\/[FTP]\/[FTP]$/i.test(t), {
  error: 'is not three of F, T and P, e.g. F/P/P',
});

/** Keys that go to build-graph. */
const buildKeys = {
  sites: text,
  alpha: positive,
  'lora-dropout': share,
  'module-dropout': share,
  weights: text,
  recompute: oneOrMore(z.enum(recomputeModes)),
  'max-question-tokens': count,
  'image-size': count,
  'patch-size': count,
  hidden: count,
  intermediate: count,
  'vision-layers': count,
  'vision-heads': count,
  'text-layers': count,
  'text-heads': count,
};

/** Keys that go to ort-train. */
const trainKeys = {
  lr: positive,
  'min-lr': oneOrMore(z.number().nonnegative()),
  epochs: count,
  'batch-size': count,
  accumulate: count,
  'questions-per-image': count,
  'warmup-steps': whole,
  schedule: oneOrMore(z.enum(scheduleNames)),
  'weight-decay': oneOrMore(z.number().nonnegative()),
  'lora-plus-ratio': positive,
  clip: oneOrMore(z.number().nonnegative()),
  frame: oneOrMore(z.boolean()),
  augment: oneOrMore(z.boolean()),
  'eval-every': whole,
  'early-stopping': whole,
};

/** Keys that name the variant. */
const variantKeys = {
  method: oneOrMore(z.enum(Object.keys(methodNames) as [string, ...string[]])),
  /** of LoRA and its kin */
  rank: count,
  /** virtual tokens of prefix and ptv2 */
  tokens: count,
  placement: oneOrMore(placement),
};

const crossSchema = z.strictObject({
  ...variantKeys,
  rank: count.optional(),
  tokens: count.optional(),
  placement: oneOrMore(placement).optional(),
  ...z.object(buildKeys).partial().shape,
  ...z.object(trainKeys).partial().shape,
});
const gridSchema = z.union([crossSchema, z.array(crossSchema).nonempty()]);
const known = [...Object.keys(variantKeys), ...Object.keys(buildKeys), ...Object.keys(trainKeys)];

/** More rows than this are a mistake rather than a wish. */
const MOST_ROWS = 500;

type Point = Record<string, string | number | boolean>;

/** Every combination of the values, in the order of the keys. */
const crossed = (lists: Record<string, unknown>): Point[] =>
  Object.entries(lists).reduce<Point[]>(
    (points, [key, values]) =>
      points.flatMap((point) =>
        ([values].flat() as Point[string][]).map((value): Point => ({ ...point, [key]: value })),
      ),
    [{}],
  );

const size = { rank: ['lora', 'rslora', 'dora'], tokens: ['prefix', 'ptv2'] };

/** 'lora' and rank 8 -> 'lora-r8'; rank means nothing to a method that has none. */
function variantOf({ method, rank = 8, tokens = 10 }: Point): string {
  const name = String(method);
  if (size.rank.includes(name)) return `${name}-r${rank}`;
  return size.tokens.includes(name) ? `${name}-n${tokens}` : name;
}

const pick = (point: Point, keys: object): Flags =>
  Object.fromEntries(Object.entries(point).filter(([key]) => key in keys));

/** What a point says once `rank` and the like are dropped where they mean nothing: equal ones are one row. */
function settled(point: Point, options: GridOptions): Omit<Row, 'id' | 'label' | 'varied'> {
  const variant = variantOf(point);
  const full = variant === 'full';
  const letters = full ? 'T/T/T' : String(point.placement ?? 'T/T/P').toUpperCase();
  parsePlacement(letters);
  const given = pick(point, trainKeys);
  return {
    tables: [],
    variant,
    placement: letters,
    form: 'original',
    after: null,
    trained: true,
    build: { ...baseFlags(options), ...pick(point, buildKeys) },
    train: { epochs: options.epochs ?? LEAST_EPOCHS, 'eval-every': 5, ...given },
  };
}

const flat = (row: Omit<Row, 'id' | 'label' | 'varied'>): Point => ({
  variant: row.variant,
  placement: row.placement,
  ...row.build,
  ...row.train,
});

const slug = (value: unknown): string =>
  String(value)
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, '');

/** Rows with names made of what tells them apart. */
function named(rows: readonly Omit<Row, 'id' | 'label' | 'varied'>[]): Row[] {
  const points = rows.map(flat);
  const keys = [...new Set(points.flatMap((point) => Object.keys(point)))];
  const different = keys.filter((key) => new Set(points.map((point) => String(point[key] ?? ''))).size > 1);
  return rows.map((row, i) => {
    const own = (key: string) => points[i]![key];
    const others = different.filter(
      (key) => key !== 'variant' && key !== 'placement' && own(key) !== undefined,
    );
    const name = `${row.variant} ${row.placement}`;
    const id = [row.variant, slug(row.placement), ...others.map((key) => `${key}${slug(own(key))}`)].join(
      '-',
    );
    const label = [name, ...others.map((key) => `${key} ${own(key)}`)].join(', ');
    const varied = Object.fromEntries(
      different.filter((key) => own(key) !== undefined).map((key) => [key, own(key)!]),
    );
    return { ...row, id, label, varied };
  });
}

/** Where in the file an issue is: the node of its path, or of the key that is unknown. */
function positionOf(
  document: ReturnType<typeof parseDocument>,
  lines: LineCounter,
  path: PropertyKey[],
  key?: string,
) {
  const steps = path.map((p) => (typeof p === 'symbol' ? String(p) : p));
  for (let depth = steps.length; depth >= 0; depth--) {
    const node = document.getIn(steps.slice(0, depth), true) as (Node & { items?: unknown[] }) | undefined;
    const pair = node?.items?.find(
      (item) => key !== undefined && (item as { key?: { value?: unknown } }).key?.value === key,
    ) as { key?: Node } | undefined;
    const range = pair?.key?.range ?? node?.range;
    if (range) return lines.linePos(range[0]);
  }
  return { line: 1, col: 1 };
}

/** The first issue, those of a union's branches included: the branch that got furthest knows most. */
function firstIssue(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue;
  const branches = issue.errors.filter((branch) => branch.length > 0);
  const reached = (branch: z.core.$ZodIssue[]) =>
    Math.max(...branch.map((i) => firstIssue(i).path.length + Number(i.code !== 'invalid_type')));
  const best = branches.toSorted((a, b) => reached(b) - reached(a))[0];
  if (!best) return issue;
  const inner = firstIssue(best.find((i) => i.code === 'unrecognized_keys') ?? best[0]!);
  return { ...inner, path: [...issue.path, ...inner.path] };
}

/** Known keys that are spelt nearly so. */
function nearest(key: string): string {
  const letters = (word: string) => new Set(word.toLowerCase());
  const likeness = (word: string) =>
    [...letters(word)].filter((c) => letters(key).has(c)).length /
    new Set([...letters(word), ...letters(key)]).size;
  const best = known.toSorted((a, b) => likeness(b) - likeness(a))[0]!;
  return likeness(best) > 0.6 ? `is ${best} meant? Known: ` : 'choose from ';
}

/**
 * The rows of a grid file: a mapping, or a list of mappings, of keys to values or lists of values. Lists are
 * crossed; equal rows are one.
 *
 * @example parseYamlGrid('method: lora\nrank: [4, 8]\nlr: [5e-4, 2e-3]', 'grid.yaml', { preset: 'miss-tiny' }) // 4 rows
 * @throws {UserError} with file, line and column.
 */
export function parseYamlGrid(source: string, file: string, options: GridOptions): Row[] {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  const at = ({ line, col }: { line: number; col: number }) => `${file}:${line}:${col}`;
  const broken = document.errors[0];
  if (broken)
    throw new UserError(`not YAML: ${broken.message}`, at(lines.linePos(broken.pos[0])), 'correct the line');
  const parsed = gridSchema.safeParse(document.toJS({ maxAliasCount: 100 }));
  if (!parsed.success) {
    const issue = firstIssue(parsed.error.issues[0]!);
    if (issue.code === 'unrecognized_keys') {
      const key = issue.keys[0]!;
      const where = at(positionOf(document, lines, issue.path, key));
      throw new UserError(`unknown key '${key}'`, where, `${nearest(key)}${known.join(', ')}`);
    }
    const name = issue.path.filter((p) => typeof p === 'string').join('.') || 'the file';
    const where = at(positionOf(document, lines, issue.path));
    throw new UserError(`${name}: ${issue.message}`, where, 'see ort-study --help for an example');
  }
  const points = [parsed.data].flat().flatMap(crossed);
  if (points.length > MOST_ROWS)
    throw new UserError(`${points.length} rows`, file, `cross fewer values: at most ${MOST_ROWS} rows`);
  const rows = points.map((point) => settled(point, options));
  const distinct = new Map(rows.map((row) => [JSON.stringify(row), row]));
  return named([...distinct.values()]);
}

export const readYamlGrid = (file: string, options: GridOptions): Row[] =>
  parseYamlGrid(readFile(file).toString('utf8'), file, options);
