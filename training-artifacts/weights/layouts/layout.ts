/** @file How other programs name the weights of this model. */
import type { NormalisationName } from '../../../datasets/images/normalise.js';

/** Names whose tensors make one of ours: a single one, or several below one another (query, key, value). */
export type Recipe = readonly string[];

/** What a program calls the weights; `target` is always the reference's name of a parameter. */
export interface Layout {
  readonly name: string;
  /** one of these names is in every file of this layout, behind a prefix at most */
  readonly signatures: readonly string[];
  /** possible origins of a parameter, the usual one first; none: the layout does not have it */
  readonly recipes: (target: string) => readonly Recipe[];
  /** possible names of the table whose row 0 is added to every row of `target` */
  readonly added?: (target: string) => readonly string[];
  /** second name of a parameter: → the name that it must equal */
  readonly tied: (name: string) => string | undefined;
  /** how images were normalised, where the layout tells */
  readonly normalisation?: NormalisationName;
  /** what there is to choose from where it does not */
  readonly normalisationHint?: string;
  /** what the report says of files of this layout */
  readonly notes?: readonly string[];
}

/** Numbers that are computed, not learned. */
export const isBuffer = (name: string): boolean =>
  /(^|\.)(position_ids|token_type_ids|num_batches_tracked)$/.test(name);

/** The tied output projection under the names of BERT's head. */
export const tiedHead =
  (words: string, prefix: string) =>
  (name: string): string | undefined => {
    if (name === `${prefix}cls.predictions.decoder.weight`) return words;
    if (name === `${prefix}cls.predictions.decoder.bias`) return `${prefix}cls.predictions.bias`;
    return undefined;
  };
