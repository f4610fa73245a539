/** @file Roles of the two graphs that each level of the frozen cut has. */
import type { CutLevel } from '../../graph-builder/models/cuts.js';
import type { GraphRole } from './manifest.js';

export const cutRoles = {
  vit: { frozen: 'frozenVit', training: 'trainingVit' },
  kv: { frozen: 'frozenKv', training: 'trainingKv' },
} as const satisfies Record<CutLevel, Record<'frozen' | 'training', GraphRole>>;
