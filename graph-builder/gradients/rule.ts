/** @file What a gradient rule is. */
import type { GraphBuilder } from '../ir/builder.js';
import type { Value } from '../ir/types.js';
import type { AttrsOf, InputsOf, OpName } from '../ops/registry.js';

export interface RuleContext<K extends OpName> {
  readonly g: GraphBuilder;
  readonly inputs: InputsOf<K>;
  readonly attrs: AttrsOf<K>;
  /** first output and its gradient */
  readonly y: Value;
  readonly dy: Value;
  /** all outputs and their gradients; undefined = no gradient reaches this one */
  readonly outputs: readonly Value[];
  readonly dys: readonly (Value | undefined)[];
  /** float32 scalar 0, known only at run time: a constant would be folded into a full-size table */
  zero(): Value;
}

/**
 * ∂loss/∂input: a value (the driver sums it over broadcast axes), or a function that adds it to the sum so
 * far, for rules that write into a table.
 */
export type Contribution = Value | { addTo(sum: Value | undefined): Value };

type PerInput<I> = { readonly [P in keyof I]: (() => Contribution) | null };

/** One entry an input; null states that it has no gradient. */
export type GradientRule<K extends OpName> = (c: RuleContext<K>) => PerInput<InputsOf<K>>;

/** A missing rule does not compile. */
export type GradientRules = { readonly [K in OpName]: GradientRule<K> };
