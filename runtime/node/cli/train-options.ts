/** @file The options that say how a run is trained: training options of the same names in camel case. */
import type { Argv } from 'yargs';
import { scheduleNames } from '../../core/schedule.js';
import { measures } from '../training/events.js';
import { DATA, readFlags } from './data/read-flags.js';

const dataOptions = {
  data: {
    type: 'string',
    describe: `${DATA}. Default vqa-rad. Of a model that build-graph --from made: a .safetensors file of its inputs and labels, samples along the first axis`,
  },
  split: {
    type: 'string',
    describe:
      "official (the data set's own; VQA-RAD's test images are also in its training), image (disjoint images, drawn), or a file that ort-data split wrote; default official",
  },
  ...readFlags,
  frame: {
    type: 'boolean',
    describe: "add VQA-RAD's templated restatements, minus those worded like a test question",
  },
  limit: { type: 'number', describe: 'train on the first n questions only' },
  augment: {
    type: 'boolean',
    describe: 'small random shifts and changes of brightness, drawn anew in each epoch',
  },
  'augment-rotate': { type: 'number', describe: 'also rotate by up to so many degrees; default 0' },
  'augment-crop': {
    type: 'number',
    describe: 'also cut away up to this share of each side and enlarge the rest, e.g. 0.1; default 0',
  },
  'augment-flip': {
    type: 'boolean',
    describe:
      'also mirror half of the images. Off: questions ask for left and right, and a mirrored chest shows situs ' +
      'inversus. Only for data whose answers name no side',
  },
  'image-threads': {
    type: 'number',
    describe: 'threads that prepare the next images while the model works, 0 = none; default 1',
  },
  'image-memory-gb': {
    type: 'number',
    describe: 'decoded images kept in memory, GB; the others are decoded at each visit; default 2',
  },
} as const;

const stepOptions = {
  epochs: { type: 'number', describe: 'default 10' },
  'max-steps': { type: 'number', describe: 'stop after this step; --resume goes on' },
  'batch-size': { type: 'number', describe: 'questions a step; default 32' },
  'questions-per-image': {
    type: 'number',
    describe: 'questions on one image kept together: the image is encoded once; default 1',
  },
  accumulate: { type: 'number', describe: 'batches an update; default 1' },
  cut: {
    choices: ['auto', 'vit', 'kv', 'none'] as const,
    describe:
      'what is computed once of frozen modules and read from disk from then on: vit (the image encoder), kv (also ' +
      "the JTM encoder's frozen keys and values, or its states if it is frozen), none; default auto: the faster one " +
      'that fits. Off with --augment',
  },
  'cache-gb': {
    type: 'number',
    describe: 'largest size of these features on disk, GB; default 10',
  },
  seed: { type: 'number', describe: 'data order, dropout, augmentation; default 0' },
  device: {
    type: 'string',
    describe:
      "cpu, webgpu, cuda, cuda:1 (the second card), or auto: the fastest whose first losses are the CPU's; default cpu. See ort-doctor",
  },
  'weights-in-memory': {
    choices: ['auto', 'packed', 'mapped'] as const,
    describe:
      'packed: each product keeps a copy of its weights, faster at few rows; mapped: all read the pages of the weights file, which other processes share; default auto: packed for small models and where only texts are computed (--cut kv), else mapped',
  },
  threads: { type: 'number', describe: 'threads inside an operator; default: all cores' },
} as const;

const optimizerOptions = {
  lr: { type: 'number', describe: 'initial learning rate; default 5e-4' },
  'min-lr': { type: 'number', describe: 'final learning rate; default 0' },
  'warmup-steps': { type: 'number', describe: 'steps of linear warm-up; default 0' },
  schedule: {
    choices: scheduleNames,
    describe:
      "cosine-epoch (the paper's: a new rate every epoch), cosine or linear (every step), constant; default " +
      'cosine-epoch',
  },
  'lora-plus-ratio': {
    type: 'number',
    describe: "LoRA+: learning rate of lora_B as a multiple of lora_A's, e.g. 16; default 1",
  },
  'weight-decay': { type: 'number', describe: 'decoupled; default 0.05' },
  'no-decay': {
    type: 'string',
    describe:
      "trained tensors without weight decay: globs of their names, comma-separated, e.g. '**.bias,**LayerNorm**'; " +
      'default: none, as in the paper',
  },
  clip: { type: 'number', describe: 'largest gradient norm, 0 = off; default 1' },
} as const;

const checkpointOptions = {
  'eval-every': { type: 'number', describe: 'epochs between validations, 0 = none; default 1' },
  'eval-every-steps': {
    type: 'number',
    describe: 'steps between validations, besides those of epochs, 0 = none; default 0',
  },
  'early-stopping': {
    type: 'number',
    describe: 'stop after n validations in a row without a better one, 0 = never; default 0',
  },
  'best-by': {
    choices: measures,
    describe: 'what makes a validation the best; default accuracy',
  },
  'save-every': {
    type: 'number',
    describe: 'steps between checkpoints, besides those of epochs and validations, 0 = none; default 0',
  },
  keep: {
    type: 'number',
    describe: 'newest checkpoints to keep as checkpoint/step-N besides last and best; default 0',
  },
} as const;

/** Null defaults are left to the trainer: what was not given is seen as such. */
export const trainingOptions = <T>(y: Argv<T>) =>
  y
    // --no-decay is a flag of its own, not "decay: no"
    .parserConfiguration({ 'boolean-negation': false })
    .options(dataOptions)
    .options(stepOptions)
    .options(optimizerOptions)
    .options(checkpointOptions)
    .group(Object.keys(dataOptions), 'Data:')
    .group(Object.keys(stepOptions), 'Steps:')
    .group(Object.keys(optimizerOptions), 'Optimizer:')
    .group(Object.keys(checkpointOptions), 'Validation and checkpoints:');
