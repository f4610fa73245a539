/** @file `mile-ort`: answers and fine-tuning in Node, with the functions that `mile-ort/web` has for browsers. */
export { FileError, UserError } from '../../graph-builder/errors.js';
export { NOTICE } from '../core/notice.js';
export {
  type Answer,
  type AskOptions,
  type LoadOptions,
  loadModel,
  type Model,
  type Trained,
  type TrainRequest,
} from './model.js';
export { type TrainOptions, trainDefaults } from './training/options.js';
