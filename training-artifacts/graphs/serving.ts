/** @file The three graphs that answer questions, for any variant. Needs no disk. */
import { verify } from '../../graph-builder/ir/graph.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import {
  answerDecoderGraph,
  imageEncoderGraph,
  questionEncoderGraph,
} from '../../graph-builder/models/miss.js';
import { applyVariant, type Variant } from '../../graph-builder/variant/variant.js';
import { modelBytes, type StoredWeights } from './model-bytes.js';

const graphs = {
  imageEncoder: imageEncoderGraph,
  questionEncoder: questionEncoderGraph,
  answerDecoder: answerDecoderGraph,
} as const;
export type ServingRole = keyof typeof graphs;
export const servingRoles = Object.keys(graphs) as readonly ServingRole[];

/** Trained tensors are its inputs, ranks symbolic: it serves every adapter of the same methods on the same sites. */
export const servingGraph = (role: ServingRole, config: MissConfig, variant: Variant): Graph =>
  applyVariant(graphs[role](config), variant, 'serving');

/** The graph's ONNX bytes: equal for adapters that it can serve, and equal to a run's file. */
export const servingModel = (
  role: ServingRole,
  config: MissConfig,
  variant: Variant,
  weights: StoredWeights,
): Uint8Array => modelBytes(verify(servingGraph(role, config, variant)), role, weights);
