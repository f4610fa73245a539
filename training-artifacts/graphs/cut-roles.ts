/** @file Roles of the graphs that each level of the frozen cut has. */
import type { CutLevel } from '../../graph-builder/models/cuts.js';
import type { GraphRole } from './manifest.js';

export const cutRoles = {
  vit: { frozen: 'frozenVit', training: 'trainingVit' },
  kv: { frozen: 'frozenKv', training: 'trainingKv' },
} as const satisfies Record<CutLevel, Record<'frozen' | 'training', GraphRole>>;

/** The loss without dropout on the features of level `vit`: validation needs no more of the image than these. */
export const EVALUATION_CUT = 'evaluationVit' satisfies GraphRole;
