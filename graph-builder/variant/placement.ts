/** @file Placements: what happens to each of the three modules. */
import { UserError } from '../errors.js';
import { type ModuleName, moduleNames } from '../models/config.js';

/** F: frozen, T: all parameters trained, P: adapted by the method. */
export type ModuleMode = 'F' | 'T' | 'P';
export type Placement = Readonly<Record<ModuleName, ModuleMode>>;

/**
 * The default of `build-graph --variant`: see the README's table of what F/P/P and T/T/P cost and give on the
 * bundled data.
 */
export const DEFAULT_PLACEMENT = 'T/T/P';

/** @throws {UserError} unless `text` is three of F, T, P such as 'T/T/P'. */
export function parsePlacement(text: string): Placement {
  const modes = text.toUpperCase().split('/');
  if (modes.length !== 3 || !modes.every((m) => m === 'F' || m === 'T' || m === 'P')) {
    throw new UserError(
      `placement '${text}' is not three of F, T and P`,
      '--placement',
      'write image encoder/JTM encoder/decoder, e.g. F/P/P (F frozen, T trained, P adapted)',
    );
  }
  return Object.fromEntries(moduleNames.map((name, i) => [name, modes[i]])) as Placement;
}

export const formatPlacement = (placement: Placement): string =>
  moduleNames.map((m) => placement[m]).join('/');
