/** @file The operators that graphs are made of, as a table. */
import { definitionOf, type OpName, ops } from '../ops/registry.js';
import { rules } from './rules.js';

export interface SupportedOperator {
  readonly op: OpName;
  /** '' is ai.onnx */
  readonly domain: string;
  /** false: no gradient flows back through it, or none is written */
  readonly differentiable: boolean;
  /** only rewrites and the backward pass make it: no model that is read may contain it */
  readonly internal: boolean;
}

/**
 * All operators of the IR, sorted by name. Models that are read may contain more: what stands for other
 * operators, or is known while reading, is replaced (graph-builder/onnx/import).
 *
 * @example supportedOperators().filter((o) => o.differentiable).map((o) => o.op)
 */
export const supportedOperators = (): readonly SupportedOperator[] =>
  (Object.keys(ops) as OpName[]).sort().map((op) => ({
    op,
    domain: definitionOf(op).domain ?? '',
    differentiable: typeof rules[op] === 'function',
    internal: typeof rules[op] === 'object',
  }));
