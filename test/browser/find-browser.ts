/** @file The browser that tests run in. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The browser's program: $CHROMIUM, or the first of the usual names in $PATH. */
export function findBrowser(): string | undefined {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
  const paths = (process.env.PATH ?? '')
    .split(delimiter)
    .flatMap((dir) => names.map((name) => join(dir, name)));
  return [process.env.CHROMIUM, ...paths].find((path) => path && existsSync(path));
}
