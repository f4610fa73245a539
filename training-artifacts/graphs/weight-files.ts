/** @file Which files hold the weights that a run's graphs name. Knows no file system: a page reads runs, too. */
import type { Manifest } from './manifest.js';

export interface WeightFile {
  /** bare name, in the folder of the weights */
  readonly file: string;
  readonly sha256: string;
}

/** All of them, the base (or the first part of it) first: a session needs each as external data of its name. */
export const weightFiles = ({ file, sha256, shards = [], int8 }: Manifest['weights']): WeightFile[] => [
  { file, sha256 },
  ...shards.slice(1),
  ...(int8 ? [int8] : []),
];
