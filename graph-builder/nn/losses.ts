/** @file Losses for models that come without one. */
import type { GraphBuilder } from '../ir/builder.js';
import type { Value } from '../ir/types.js';

const everyAxis = (x: Value): readonly number[] => [...x.shape.keys()];

/**
 * Mean cross-entropy of the labels that are not ignored, as PyTorch's `F.cross_entropy`.
 *
 *   −Σ log softmax(logits)[label] / number of counted labels
 *
 * Shapes: logits [..., classes] float32, labels [...] int32; a label below 0 (−100) is ignored → scalar.
 * Not a number where no label is counted, as in PyTorch.
 *
 * @example crossEntropy(g, logits, g.input('labels', 'int32', ['batch']))
 */
export function crossEntropy(g: GraphBuilder, logits: Value, labels: Value): Value {
  const none = g.scalar(0, 'int32');
  const counted = g.op('GreaterOrEqual', [labels, none], {});
  const weights = g.cast(counted, 'float32');
  const column = g.reshape(g.op('Where', [counted, labels, none], {}), [...labels.shape, 1]);
  const chosen = g.op('GatherElements', [logits, column], { axis: logits.shape.length - 1 });
  const total = g.op('ReduceLogSumExp', [logits], { axes: [-1], keepdims: 1 });
  const losses = g.reshape(g.sub(total, chosen), labels.shape);
  const sum = g.reduceSum(g.mul(losses, weights), everyAxis(labels));
  return g.div(sum, g.reduceSum(weights, everyAxis(labels)));
}

/**
 * Mean of (output − target)² over all elements, as PyTorch's `F.mse_loss`.
 *
 * Shapes: output and target equal, float32 → scalar.
 */
export function meanSquaredError(g: GraphBuilder, output: Value, target: Value): Value {
  const difference = g.sub(output, target);
  return g.reduceMean(g.mul(difference, difference), everyAxis(output));
}
