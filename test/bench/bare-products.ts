/** @file The yardstick: bare products of the same sizes, weight constant and packed, the faster of MatMul and Gemm. */
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { float32, type Session } from '../../runtime/core/session.js';
import type { OpenOptions } from '../../runtime/node/ort.js';
import type { Measured, Timing } from './measure.js';
import { flopsOf, type ProductSize } from './products.js';
import { openGraph } from './sessions.js';

const forms = ['MatMul', 'Gemm'] as const;

/** Small products run several times a call, so that the call itself does not count. */
const COPIES = { flops: 1e9, most: 32 };

const copiesOf = (size: ProductSize): number =>
  Math.max(1, Math.min(COPIES.most, Math.floor(COPIES.flops / flopsOf(size))));

/** Only one row of each product leaves the graph: outputs are copied, and a copy is no product. */
function bareGraph(size: ProductSize, form: (typeof forms)[number]): Graph {
  const { rows, k, n } = size;
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', [rows, k]);
  const outputs = Array.from({ length: copiesOf(size) }, (_, i) => {
    const weight = g.parameter(`w${i}`, form === 'Gemm' ? [n, k] : [k, n], 'normal');
    const y = form === 'Gemm' ? g.linear(x, weight) : g.matmul(x, weight);
    return [`y${i}`, g.gather(y, g.scalar(0, 'int32'))] as const;
  });
  return g.finish(Object.fromEntries(outputs));
}

/** Bare products of some sizes, opened once and measured beside the graphs that contain them. */
export class BareProducts {
  private constructor(
    private readonly sizes: readonly ProductSize[],
    private readonly sessions: ReadonlyMap<string, Session>,
  ) {}

  static async open(sizes: readonly ProductSize[], options: OpenOptions): Promise<BareProducts> {
    const sessions = new Map<string, Session>();
    for (const size of sizes) {
      for (const form of forms)
        sessions.set(keyOf(size, form), await openGraph(bareGraph(size, form), options));
    }
    return new BareProducts(sizes, sessions);
  }

  /** What to measure, by key. */
  things(): Record<string, Measured> {
    const entries = this.sizes.flatMap((size) => {
      const feeds = { x: float32(new Float32Array(size.rows * size.k).fill(0.5), [size.rows, size.k]) };
      return forms.map((form): [string, Measured] => {
        const key = keyOf(size, form);
        return [key, () => this.sessions.get(key)!.run(feeds)];
      });
    });
    return Object.fromEntries(entries);
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await session.release();
  }
}

const keyOf = ({ rows, k, n }: ProductSize, form: string): string => `${form} ${rows}x${k}x${n}`;

/** Time of the products alone: Σ count · time of the faster form. */
export const bareTime = (
  products: readonly (ProductSize & { count: number })[],
  timings: Readonly<Record<string, Timing>>,
  statistic: keyof Timing,
): number =>
  products.reduce((sum, size) => {
    const times = forms.map((form) => timings[keyOf(size, form)]![statistic] / copiesOf(size));
    return sum + size.count * Math.min(...times);
  }, 0);
