/** @file All operators. The export's name is the ONNX name. */
import * as activations from './activations.js';
import * as arithmetic from './arithmetic.js';
import * as convolution from './convolution.js';
import type { Inputs, OpDefinition } from './define.js';
import * as indexing from './indexing.js';
import * as linear from './linear.js';
import * as logic from './logic.js';
import * as normalization from './normalization.js';
import * as quantisation from './quantisation.js';
import * as reductions from './reductions.js';
import * as shapes from './shapes.js';

export const ops = {
  ...arithmetic,
  ...activations,
  ...linear,
  ...convolution,
  ...normalization,
  ...reductions,
  ...shapes,
  ...indexing,
  ...logic,
  ...quantisation,
};

export type OpName = keyof typeof ops;
export type InputsOf<K extends OpName> = (typeof ops)[K] extends OpDefinition<infer I, infer _A> ? I : never;
export type AttrsOf<K extends OpName> = (typeof ops)[K] extends OpDefinition<infer _I, infer A> ? A : never;

/** The definition of an operator, its types forgotten. */
export const definitionOf = (op: OpName): OpDefinition<Inputs> => ops[op] as OpDefinition<Inputs>;

export const isOpName = (name: string): name is OpName => Object.hasOwn(ops, name);
