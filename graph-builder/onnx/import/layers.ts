/** @file Products, convolutions, pooling, normalisation and reductions of foreign models. */
import { sameShape } from '../../ir/dim.js';
import type { Value } from '../../ir/types.js';
import { reach } from '../../ops/define.js';
import type { AttrsOf } from '../../ops/registry.js';
import { axesOf } from './axes.js';
import type { Site } from './site.js';
import type { Translation } from './translation.js';

/** alpha·A'·B' + beta·C: ours has no factors, and C is a row. */
function gemm(c: Site): readonly Value[] {
  const [alpha, beta] = [c.number('alpha', 1), c.number('beta', 1)];
  const attrs = { transA: c.flag('transA', 0), transB: c.flag('transB', 0) };
  const [a, b, row] = [c.value(0), c.value(1), c.optional(2)];
  const isRow = row && alpha === 1 && beta === 1 && sameShape(row.shape, [b.shape[attrs.transB ? 0 : 1]!]);
  if (isRow) return c.finish('Gemm', [a, b, row], attrs);
  if (!row && alpha === 1) return c.finish('Gemm', [a, b], attrs);
  const product = c.make('Gemm', [a, b], attrs);
  if (!row) return c.finish('Mul', [product, c.scalar(alpha)], {});
  const scaled = (v: Value, factor: number) => (factor === 1 ? v : c.make('Mul', [v, c.scalar(factor)], {}));
  return c.finish('Add', [scaled(product, alpha), scaled(row, beta)], {});
}

/** Strides, dilations and pads, with auto_pad worked out. */
function windowOf(c: Site, x: Value, kernel: readonly number[]) {
  const strides = c.numbers('strides') ?? kernel.map(() => 1);
  const dilations = c.numbers('dilations') ?? kernel.map(() => 1);
  const explicit = c.numbers('pads') ?? kernel.flatMap(() => [0, 0]);
  const auto = c.text('auto_pad', 'NOTSET');
  const plain = { strides, ...(dilations.some((d) => d !== 1) && { dilations }) };
  if (auto === 'NOTSET' || auto === 'VALID') return { ...plain, pads: explicit };
  if (auto !== 'SAME_UPPER' && auto !== 'SAME_LOWER') throw c.bad(`auto_pad ${auto} is not supported`);
  const missing = kernel.map((size, i) => {
    const length = x.shape[i + 2];
    if (typeof length !== 'number')
      throw c.bad(`auto_pad of the axis ${length}`, 'export it with this axis fixed');
    const last = (Math.ceil(length / strides[i]!) - 1) * strides[i]!;
    return Math.max(0, last + reach(size, dilations[i]!) - length);
  });
  const small = missing.map((n) => Math.floor(n / 2));
  const large = missing.map((n) => Math.ceil(n / 2));
  return { ...plain, pads: auto === 'SAME_UPPER' ? [...small, ...large] : [...large, ...small] };
}

function conv(c: Site): readonly Value[] {
  const [x, w, bias] = [c.value(0), c.value(1), c.optional(2)];
  c.ignore('kernel_shape'); // the weight's
  const attrs = { ...windowOf(c, x, w.shape.slice(2) as number[]), group: c.number('group', 1) };
  return c.finish('Conv', bias ? [x, w, bias] : [x, w], attrs as AttrsOf<'Conv'>);
}

function maxPool(c: Site): readonly Value[] {
  const x = c.value(0);
  const kernel_shape = c.numbers('kernel_shape') ?? [];
  const attrs = { kernel_shape, ...windowOf(c, x, kernel_shape) };
  if (c.number('storage_order', 0) !== 0) throw c.bad('MaxPool with storage_order 1 is not supported');
  const { strides, pads } = attrs;
  const leavesRest = kernel_shape.some((size, i) => {
    const length = (x.shape[i + 2] as number) + pads[i]! + pads[i + kernel_shape.length]!;
    return (length - reach(size, attrs.dilations?.[i] ?? 1)) % strides[i]! !== 0;
  });
  if (c.number('ceil_mode', 0) !== 0 && leavesRest) {
    throw c.bad('MaxPool with ceil_mode 1 is not supported', 'pad the input instead, or choose another size');
  }
  return c.finish('MaxPool', [x], attrs as AttrsOf<'MaxPool'>);
}

/** The mean of each window: a convolution a channel with equal weights. */
function averagePool(c: Site): readonly Value[] {
  const x = c.value(0);
  const kernel = c.numbers('kernel_shape') ?? [];
  const attrs = windowOf(c, x, kernel);
  const [, channels] = x.shape;
  const countsPads = c.number('count_include_pad', 0) === 1 || attrs.pads.every((n) => n === 0);
  if (!countsPads || c.number('ceil_mode', 0) !== 0 || typeof channels !== 'number') {
    throw c.bad(
      'AveragePool of windows that reach over the edge is not supported',
      'use count_include_pad 1',
    );
  }
  const size = kernel.reduce((p, n) => p * n, 1);
  const weights = c.filled(1 / size, [channels, 1, ...kernel]);
  return c.finish('Conv', [x, weights], { ...attrs, group: channels } as AttrsOf<'Conv'>);
}

function batchNormalization(c: Site): readonly Value[] {
  c.ignore('momentum');
  if (c.number('training_mode', 0) !== 0) {
    throw c.bad(
      'BatchNormalization in training mode is not supported',
      'call model.eval() before the export',
    );
  }
  const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((i) => c.value(i)) as [
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  return c.finish('BatchNormalization', [x, scale, bias, mean, variance], {
    epsilon: c.number('epsilon', 1e-5),
  });
}

function layerNormalization(c: Site): readonly Value[] {
  c.ignore('stash_type');
  const [x, scale] = [c.value(0), c.value(1)];
  const axis = c.number('axis', -1);
  if (axis !== -1 && axis !== x.shape.length - 1) {
    throw c.bad('LayerNormalization over several axes is not supported', 'normalise over the last axis only');
  }
  const bias = c.optional(2) ?? c.make('Sub', [scale, scale], {});
  return c.finish('LayerNormalization', [x, scale, bias], { axis: -1, epsilon: c.number('epsilon', 1e-5) });
}

const reduction =
  (op: 'ReduceSum' | 'ReduceMean' | 'ReduceMax' | 'ReduceLogSumExp'): Translation =>
  (c) => {
    const x = c.value(0);
    const given = axesOf(c, 1);
    const isWhole = c.number('noop_with_empty_axes', 0) === 0;
    const axes = given?.length ? given : isWhole ? [...x.shape.keys()] : [];
    const keepdims = c.flag('keepdims', 1);
    return axes.length === 0 ? [x] : c.finish(op, [x], { axes, keepdims });
  };

/** x − log Σ exp(x): the WebGPU provider has no LogSoftmax. */
function logSoftmax(c: Site): readonly Value[] {
  const x = c.value(0);
  const total = c.make('ReduceLogSumExp', [x], { axes: [c.number('axis', -1)], keepdims: 1 });
  return c.finish('Sub', [x, total], {});
}

function globalAveragePool(c: Site): readonly Value[] {
  const x = c.value(0);
  return c.finish('ReduceMean', [x], { axes: [...x.shape.keys()].slice(2), keepdims: 1 });
}

export const layerTranslations: Readonly<Record<string, Translation>> = {
  MatMul: (c) => c.finish('MatMul', [c.value(0), c.value(1)], {}),
  Gemm: gemm,
  Conv: conv,
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalAveragePool,
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  Softmax: (c) => c.finish('Softmax', [c.value(0)], { axis: c.number('axis', -1) }),
  LogSoftmax: logSoftmax,
  ReduceSum: reduction('ReduceSum'),
  ReduceMean: reduction('ReduceMean'),
  ReduceMax: reduction('ReduceMax'),
  ReduceLogSumExp: reduction('ReduceLogSumExp'),
  CumSum: (c) => {
    const attrs = { exclusive: c.flag('exclusive', 0), reverse: c.flag('reverse', 0) };
    return c.finish('CumSum', [c.value(0), c.value(1)], attrs);
  },
};
