/** @file Which parameters are trained. */
import { replaceParameters } from '../ir/graph.js';
import type { Graph, Parameter } from '../ir/types.js';

/**
 * Marks parameters trainable or frozen. Frozen ones are initialisers of the ONNX graph and get neither a
 * gradient nor optimizer state; trainable ones are graph inputs by name.
 *
 * @example setTrainable(graph, (p) => p.name.startsWith('text_encoder.'))
 */
export const setTrainable = (graph: Graph, trainable: (p: Parameter) => boolean): Graph =>
  replaceParameters(graph, (p) => (trainable(p) === p.trainable ? p : { ...p, trainable: trainable(p) }));
