/** @file runs.json: the runs that a server offers to its page. */

export interface ServedRun {
  readonly name: string;
  /** relative to the page */
  readonly path: string;
  readonly preset: string;
  readonly variant: string;
  /** e.g. 'T/T/P' */
  readonly placement: string;
  /** the checkpoint that answers; base: the run was not trained */
  readonly trained: 'best' | 'last' | 'base';
  /** numbers that training changes */
  readonly trainable: number;
  /** it has a training graph */
  readonly tunable: boolean;
  readonly weights: { readonly sha256: string; readonly bytes: number };
  /** graphs of answering and trained tensors */
  readonly otherBytes: number;
}

export interface ServedRuns {
  readonly format: 'mile-ort runs 1';
  readonly runs: readonly ServedRun[];
}

/** The name of the adapter that a run itself holds. */
export const OWN = 'run';
