/** @file The image encoder: a vision transformer (ViT). */
import type { GraphBuilder } from '../ir/builder.js';
import { product, quotient } from '../ir/dim.js';
import type { Dim, Value } from '../ir/types.js';
import { attend, mergeHeads } from '../nn/attention.js';
import { dropout, seedInputs } from '../nn/dropout.js';
import { gelu, layerNorm, linear } from '../nn/layers.js';
import { imageTokens, type MissConfig } from './config.js';

const EPSILON = 1e-6;

/** Stochastic depth: the whole residual branch of an image is dropped. x [rows, hidden]. */
function dropPath(g: GraphBuilder, x: Value, images: Dim, rate: number, site: string): Value {
  if (rate === 0) return x;
  const rows = g.reshape(g.input(seedInputs.image, 'int32', [images]), [images, 1, 1]);
  const [count, hidden] = x.shape as [Dim, number];
  const each = g.reshape(x, [images, quotient(count, images)!, hidden]);
  return g.reshape(dropout(g, each, { rate, rows, columns: g.scalar(1, 'int32'), site }), x.shape);
}

/** Patches as rows: [images, 3, side, side] → [images·patches, 3·patch·patch], the convolution's window order. */
function patchRows(g: GraphBuilder, pixels: Value, { imageSize, patchSize: p }: MissConfig): Value {
  const images = pixels.shape[0]!;
  const grid = imageSize / p;
  const windows = g.transpose(g.reshape(pixels, [images, 3, grid, p, grid, p]), [0, 2, 4, 1, 3, 5]);
  return g.reshape(windows, [product([images, grid * grid]), 3 * p * p]);
}

/** One pre-norm block: x [images·tokens, hidden] → the same. */
export function block(
  g: GraphBuilder,
  x: Value,
  images: Dim,
  config: MissConfig,
  layer: number,
  dropPathRate: number,
): Value {
  const { hidden, intermediate, visionHeads: heads } = config;
  const tokens = imageTokens(config);
  const name = `visual_encoder.blocks.${layer}`;
  const qkv = linear(g, layerNorm(g, x, `${name}.norm1`, EPSILON), `${name}.attn.qkv`, 3 * hidden);
  const parts = g.reshape(qkv, [images, tokens, 3, heads, hidden / heads]);
  const [query, key, value] = g
    .apply('Split', [g.transpose(parts, [2, 0, 3, 1, 4])], { axis: 0, split: [1, 1, 1] })
    .map((v) => g.reshape(v, [images, heads, tokens, hidden / heads])) as [Value, Value, Value];
  const attended = mergeHeads(g, attend(g, { query, key, value }), x.shape[0]!);
  const attention = linear(g, attended, `${name}.attn.proj`, hidden);
  const y = g.add(x, dropPath(g, attention, images, dropPathRate, `${name}.attn`));
  const inner = linear(g, layerNorm(g, y, `${name}.norm2`, EPSILON), `${name}.mlp.fc1`, intermediate);
  const outer = linear(g, gelu(g, inner), `${name}.mlp.fc2`, hidden);
  return g.add(y, dropPath(g, outer, images, dropPathRate, `${name}.mlp`));
}

/**
 * Image tokens, class token first.
 *
 * Shapes: pixelValues [images, 3, imageSize, imageSize] float32 → [images·tokens, hidden].
 * `dropPathRate` rises linearly from 0 at the first block to the given rate at the last; 0 in evaluation.
 * Source: the reference model's `visual_encoder` (pre-norm, GELU by erf, epsilon 1e-6).
 */
export function imageEncoder(
  g: GraphBuilder,
  pixelValues: Value,
  config: MissConfig,
  dropPathRate = 0,
): Value {
  const { hidden, patchSize: p, visionLayers } = config;
  const images = pixelValues.shape[0]!;
  const tokens = imageTokens(config);
  return g.within('visual_encoder', () => {
    const kernel = g.parameter('visual_encoder.patch_embed.proj.weight', [hidden, 3, p, p], 'normal');
    const bias = g.parameter('visual_encoder.patch_embed.proj.bias', [hidden], 'zeros');
    const patches = g.linear(patchRows(g, pixelValues, config), g.reshape(kernel, [hidden, 3 * p * p]), bias);
    const cls = g.parameter('visual_encoder.cls_token', [1, 1, hidden], 'normal');
    const positions = g.parameter('visual_encoder.pos_embed', [1, tokens, hidden], 'normal');
    // zero [images, 1, 1] from the pixels repeats the class token without computing a shape
    const mean = g.reshape(g.reduceMean(pixelValues, [1, 2, 3]), [images, 1, 1]);
    const first = g.add(g.sub(mean, mean), cls);
    const all = g.op('Concat', [first, g.reshape(patches, [images, tokens - 1, hidden])], { axis: 1 });
    let x = g.reshape(g.add(all, positions), [product([images, tokens]), hidden]);
    for (let layer = 0; layer < visionLayers; layer++) {
      const rate = visionLayers > 1 ? (dropPathRate * layer) / (visionLayers - 1) : 0;
      x = block(g, x, images, config, layer, rate);
    }
    return layerNorm(g, x, 'visual_encoder.norm', EPSILON);
  });
}
