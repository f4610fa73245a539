/** @file Variants of models that this project did not make: adapters, loss and backward pass on a graph that was read. */
import { RewriteError, UserError } from '../errors.js';
import { differentiate } from '../gradients/differentiate.js';
import { GraphBuilder } from '../ir/builder.js';
import { prune, verify } from '../ir/graph.js';
import type { Graph, Value } from '../ir/types.js';
import { crossEntropy, meanSquaredError } from '../nn/losses.js';
import type { AdapterOptions } from '../rewrites/adapter-method.js';
import { setTrainable } from '../rewrites/freeze.js';
import { linearSites } from '../rewrites/linear-sites.js';
import { type AnyAdapter, methodOf } from '../rewrites/methods.js';
import { parseAdapter } from './parse.js';

export const lossNames = ['cross-entropy', 'mse'] as const;
export type LossName = (typeof lossNames)[number];

/** Name of the training graph's input that the output is compared with. */
export const LABELS = 'labels';

export type ImportedTuning = { readonly method: 'full' } | AnyAdapter;

/**
 * Reads a variant's name against the weights of an imported graph.
 *
 * @throws {UserError} for an unknown name; {RewriteError} when `sites` is missing or matches nothing.
 * The site presets name layers of this project's own model: here globs are needed.
 */
export function parseImported(graph: Graph, name: string, options: AdapterOptions): ImportedTuning {
  if (name === 'full') return { method: 'full' };
  const weights = [...new Set([...linearSites(graph).values()].map((site) => site.weight))];
  const { sites } = options;
  if (weights.length === 0)
    throw new RewriteError('the model has no product with a weight', '--from', 'use --variant full');
  const all = [...new Set(weights.map((p) => p.name.replace(/\.\d+\./g, '.*.')))];
  if (!sites) {
    const remedy = `name the layers to adapt: '**' for all, or from ${all.slice(0, 8).join(', ')}${all.length > 8 ? ', …' : ''}`;
    throw new RewriteError('no sites given', '--sites', remedy);
  }
  if (options.dropout) throw new UserError('no dropout in imported models', '--lora-dropout', 'leave it out');
  return parseAdapter(name, { ...options, dropout: 0 }, weights);
}

/** The graph with its adapters, or with all parameters trainable. */
export function adaptImported(graph: Graph, tuning: ImportedTuning): Graph {
  if (tuning.method === 'full') return setTrainable(graph, () => true);
  return methodOf(tuning).insert(
    setTrainable(graph, () => false),
    tuning,
    'evaluation',
  );
}

function outputOf(graph: Graph, output: string | undefined): { name: string; value: Value } {
  const names = Object.keys(graph.outputs);
  const name = output ?? names[0]!;
  const value = Object.hasOwn(graph.outputs, name) ? graph.outputs[name] : undefined;
  if (value?.dtype !== 'float32') {
    const what = value ? `the output ${name} is ${value.dtype}` : `the model has no output '${name}'`;
    throw new UserError(what, '--output', `choose from ${names.join(', ')}`);
  }
  return { name, value };
}

/**
 * Loss of one output against `labels`; outputs `loss` [], `token_losses` [1] and the model's own.
 *
 *   cross-entropy: labels int32 [..., without the classes], −100 ignored, mean of the others
 *   mse:           labels float32 of the output's shape, mean over all
 */
export function withLoss(graph: Graph, loss: LossName, output?: string): Graph {
  const { value } = outputOf(graph, output);
  const g = new GraphBuilder(graph);
  if (graph.inputs.some((v) => v.name === LABELS))
    throw new UserError(
      `the model has an input '${LABELS}' itself`,
      '--from',
      'export it without its own loss',
    );
  const shape = loss === 'mse' ? value.shape : value.shape.slice(0, -1);
  const labels = g.input(LABELS, loss === 'mse' ? 'float32' : 'int32', shape);
  const compare = loss === 'mse' ? meanSquaredError : crossEntropy;
  const total = g.within('loss', () => compare(g, value, labels));
  return g.finish({ ...graph.outputs, loss: total, token_losses: g.reshape(total, [1]) });
}

/** Loss and gradients alone. @throws {UserError} naming the operator and node that has no gradient. */
export function trainingOf(lossGraph: Graph): Graph {
  const { loss, token_losses: tokenLosses } = lossGraph.outputs;
  const small = { ...lossGraph, outputs: { loss: loss!, token_losses: tokenLosses! } };
  return prune(verify(differentiate(prune(small), { loss: loss! })));
}
