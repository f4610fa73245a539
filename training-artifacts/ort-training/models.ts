/** @file The three ONNX models of the official format. */
import onnxProto, { type onnx } from 'onnx-proto';
import { onnxTypes } from '../../graph-builder/ir/dtypes.js';
import type { DType, Graph } from '../../graph-builder/ir/types.js';
import { PRODUCER, writeOnnx } from '../../graph-builder/onnx/write.js';
import { gradientName, gradientsOf, lossOnly, parametersAsInputs } from './graphs.js';

const { ModelProto } = onnxProto.onnx;
const MICROSOFT = 'com.microsoft';
const LAZY_RESET = 'lazy_reset_grad';

/** Names of a gradient's buffer and of the flag that says it was added to. */
const accumulation = (parameter: string) => ({
  buffer: `${gradientName(parameter)}.accumulation.buffer`,
  done: `${gradientName(parameter)}.accumulation.out`,
});

const tensorOf = (name: string, dtype: DType, shape: readonly number[]): onnx.IValueInfoProto => ({
  name,
  type: {
    tensorType: { elemType: onnxTypes[dtype], shape: { dim: shape.map((dimValue) => ({ dimValue })) } },
  },
});

const namesOf = (graph: Graph, trainable: boolean): string =>
  JSON.stringify(graph.parameters.filter((p) => p.trainable === trainable).map((p) => p.name));

/** A model whose parameters, frozen ones too, are inputs after the user's; its metadata say which are trained. */
function withParameterInputs(graph: Graph, name: string): onnx.ModelProto {
  const bytes = writeOnnx(parametersAsInputs(graph), {
    name,
    weights: () => {
      throw new Error('internal: the official format has no initialisers');
    },
  });
  const model = ModelProto.decode(bytes);
  model.metadataProps = [
    { key: 'trainable', value: namesOf(graph, true) },
    { key: 'frozen', value: namesOf(graph, false) },
  ];
  return model;
}

/**
 * training_model.onnx: our forward and backward pass; ONNX Runtime's accumulators take the gradients.
 *
 * Inputs: the user's, all parameters, `<name>_grad.accumulation.buffer` for each trained one,
 * `lazy_reset_grad` (bool [1]). Outputs: `loss`, then `<name>_grad.accumulation.out` (bool [1]).
 * Source: onnxruntime.training.onnxblock, build_gradient_accumulation_graph, version 1.19.2.
 */
export function trainingModel(forward: Graph): Uint8Array {
  const graph = gradientsOf(forward);
  const model = withParameterInputs(graph, 'training');
  const inner = model.graph as onnx.GraphProto;
  const trained = graph.parameters.filter((p) => p.trainable);
  for (const [i, { name, dtype, shape }] of trained.entries()) {
    const { buffer, done } = accumulation(name);
    inner.input.push(tensorOf(buffer, dtype, shape as readonly number[]));
    inner.node.push({
      opType: 'InPlaceAccumulatorV2',
      domain: MICROSOFT,
      name: `GradientAccumulator${i + 1}`,
      input: [buffer, gradientName(name), LAZY_RESET],
      output: [done],
    });
  }
  inner.input.push(tensorOf(LAZY_RESET, 'bool', [1]));
  const [loss] = inner.output;
  inner.output = [loss!, ...trained.map(({ name }) => tensorOf(accumulation(name).done, 'bool', [1]))];
  return ModelProto.encode(model).finish();
}

/** eval_model.onnx: the loss alone. */
export const evalModel = (forward: Graph): Uint8Array =>
  ModelProto.encode(withParameterInputs(lossOnly(forward), 'evaluation')).finish();

/** PyTorch's AdamW, as the trainer of this project computes it. */
export interface OptimizerSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

export const optimizerDefaults: OptimizerSettings = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.05,
};

const sequenceOf = (name: string): onnx.IValueInfoProto => ({
  name,
  type: { sequenceType: { elemType: { tensorType: { elemType: onnxTypes.float32 } } } },
});

/** Order matters: the runtime checks it when it loads the model. */
const sequences = ['params', 'gradients', 'first_order_moments', 'second_order_moments'];
const UPDATED = 'updated_flag';

/**
 * optimizer_model.onnx: one AdamW step over sequences of tensors, with the decay of PyTorch (adam_mode 0).
 *
 * Source: onnxruntime.training.onnxblock.optim, version 1.19.2.
 */
export function optimizerModel(settings: OptimizerSettings = optimizerDefaults): Uint8Array {
  const { AttributeType } = onnxProto.onnx.AttributeProto;
  const float = (name: string, f: number) => ({ name, f, type: AttributeType.FLOAT });
  const int = (name: string, i: number) => ({ name, i, type: AttributeType.INT });
  const scalars = [tensorOf('learning_rate', 'float32', [1]), tensorOf('step', 'int64', [1])];
  const input = [...scalars, ...sequences.map(sequenceOf)];
  const attribute = [
    float('alpha', settings.beta1),
    float('beta', settings.beta2),
    float('epsilon', settings.epsilon),
    float('weight_decay', settings.weightDecay),
    int('correct_bias', 1),
    int('adam_mode', 0),
  ];
  const names = input.map((v) => v.name!);
  const model = ModelProto.create({
    irVersion: 8,
    producerName: PRODUCER,
    opsetImport: [
      { domain: '', version: 18 },
      { domain: MICROSOFT, version: 1 },
    ],
    graph: {
      name: 'optimizer',
      input,
      node: [
        {
          opType: 'AdamWOptimizer',
          domain: MICROSOFT,
          name: 'AdamW',
          input: names,
          output: [UPDATED],
          attribute,
        },
      ],
      output: [tensorOf(UPDATED, 'bool', [1])],
    },
  });
  return ModelProto.encode(model).finish();
}
