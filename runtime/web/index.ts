/** @file `mile-ort/web`: answers and fine-tuning in a browser. Nothing leaves it. */
export { FileError, UserError } from '../../graph-builder/errors.js';
export { NOTICE } from '../core/notice.js';
export { type Choice, chooseDevice } from './choose-device.js';
export {
  type Answer,
  type AskOptions,
  type LoadOptions,
  loadModel,
  type Model,
  type Note,
  type Progress,
} from './model.js';
export { setWasmFolder, type WebDevice } from './ort.js';
export { filesSource, httpSource, type RunSource } from './run-source.js';
export { type TuneOptions, tuneDefaults } from './training/defaults.js';
export { readTable, type TableRow } from './training/table.js';
export type { Trained, TrainRequest } from './training/train.js';
export type { TuneEvent } from './training/tuning.js';
