/** @file All gradient rules. */

import { activations } from './activations.js';
import { arithmetic } from './arithmetic.js';
import { convolution } from './convolution.js';
import { indexing } from './indexing.js';
import { linear } from './linear.js';
import { logic } from './logic.js';
import { normalization } from './normalization.js';
import { quantisation } from './quantisation.js';
import { reductions } from './reductions.js';
import type { GradientRules } from './rule.js';
import { shapes } from './shapes.js';

export const rules: GradientRules = {
  ...activations,
  ...arithmetic,
  ...convolution,
  ...indexing,
  ...linear,
  ...logic,
  ...normalization,
  ...quantisation,
  ...reductions,
  ...shapes,
};
