/** @file Numbers, sizes and errors as the page shows them. */

/** @example size(43_000_000, 'en') // '43 MB' */
export const size = (bytes: number, language: string): string =>
  new Intl.NumberFormat(language, {
    style: 'unit',
    unit: bytes >= 1e9 ? 'gigabyte' : 'megabyte',
    maximumFractionDigits: bytes >= 1e9 ? 1 : 0,
  }).format(bytes >= 1e9 ? bytes / 1e9 : bytes / 1e6);

export const percent = (share: number, language: string): string =>
  new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 1 }).format(share);

export const seconds = (milliseconds: number, language: string): string =>
  new Intl.NumberFormat(language, { maximumFractionDigits: milliseconds < 10_000 ? 2 : 0 }).format(
    milliseconds / 1000,
  );

/** @example duration(3725) // '1 h 2 min' */
export function duration(total: number): string {
  const minutes = Math.ceil(total / 60);
  if (total < 60) return `${Math.max(1, Math.round(total))} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** What, where and what to do. */
export interface Problem {
  readonly what: string;
  readonly where: string;
  readonly remedy: string;
}

/** Errors lose their class on their way from the worker, not their lines. */
export function problemOf(error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  const [, what, where, remedy] = /^(.*?)\n {2}where: (.*?)\n {2}to do: (.*)$/s.exec(message) ?? [];
  if (what !== undefined) return { what, where: where!, remedy: remedy! };
  return { what: message, where: '', remedy: 'reload the page and try again' };
}
