/** @file A builder that has inputs already. */
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import type { Shape, Value } from '../../graph-builder/ir/types.js';

/** A builder with float inputs of these shapes. */
export function withInputs<K extends string>(shapes: Readonly<Record<K, Shape>>) {
  const g = new GraphBuilder();
  const entries = Object.entries<Shape>(shapes).map(([name, shape]) => [
    name,
    g.input(name, 'float32', shape),
  ]);
  return { g, ...(Object.fromEntries(entries) as Record<K, Value>) };
}
