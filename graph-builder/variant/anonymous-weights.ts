/** @file Gives weights back the names that an exporter took from them. */
import { replaceParameters } from '../ir/graph.js';
import { type Graph, isParameter } from '../ir/types.js';
import { linearSites } from '../rewrites/linear-sites.js';

/**
 * Renames weights that exporters transposed and called `val_70` or `onnx::MatMul_12` after the bias beside them:
 * `…query.bias` → `…query.weight`. Sites can then be found by their modules' names, and adapters bear the names
 * that PEFT gives them in the model that was exported.
 *
 * @returns the graph, and the new names by the old ones
 */
export function nameWeights(graph: Graph): { graph: Graph; renamed: ReadonlyMap<string, string> } {
  const taken = new Set(graph.parameters.map((p) => p.name));
  const renamed = new Map<string, string>();
  for (const { weight, result, product } of linearSites(graph).values()) {
    if (weight.name.endsWith('.weight') || result === product) continue;
    const bias = result.inputs.find((v) => isParameter(v) && v.name.endsWith('.bias'));
    const name = bias?.name.replace(/bias$/, 'weight');
    if (!name || taken.has(name) || renamed.has(weight.name)) continue;
    taken.add(name);
    renamed.set(weight.name, name);
  }
  const named = replaceParameters(graph, (p) => {
    const name = renamed.get(p.name);
    return name ? { ...p, name } : p;
  });
  return { graph: named, renamed };
}
