/** @file What a gradient rule is. */
import { UserError } from '../errors.js';
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

/** The operator's gradient is zero almost everywhere: nothing flows back, as in PyTorch. */
export const CONSTANT = 'constant';

/** The operator has a gradient that is not written. */
export interface Refusal {
  readonly refused: string;
}

export const refused = (why: string): Refusal => ({ refused: why });

/** A rule cannot serve this node; the driver says which one it is. */
export class NoGradient extends UserError {
  constructor(what: string, remedy: string) {
    super(what, 'gradient rule', remedy);
  }
}

/** One entry an input; null states that it has no gradient. */
export type GradientRule<K extends OpName> = (c: RuleContext<K>) => PerInput<InputsOf<K>>;

/** A missing rule does not compile. */
export type GradientRules = { readonly [K in OpName]: GradientRule<K> | typeof CONSTANT | Refusal };
