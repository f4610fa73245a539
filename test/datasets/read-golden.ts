/** @file Reads golden files that lie beside their test. */
import { readFileSync } from 'node:fs';

export const readGolden = <T>(name: string, base: string): T =>
  JSON.parse(readFileSync(new URL(name, base), 'utf8'));
