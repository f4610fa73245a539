/** @file AdamW's speed beside that of a copy. */
import { adamWDefaults, adamWStep } from '../../runtime/core/adamw.js';
import { sumOfSquares } from '../../runtime/core/kernels/passes.js';
import { moveToKernels } from '../../runtime/core/kernels/resident.js';
import { alternate, type BenchOptions } from './measure.js';
import type { Row, Section } from './table.js';

/** A linear layer of miss-base's feed-forward blocks. */
const TENSOR = 768 * 3072;
/** Tensors that are updated: 9 and 99 million numbers. */
const COUNTS = [4, 42];
/** Bytes a number that each pass has to read and write. */
const BYTES = { copy: 8, update: 28, norm: 4 };

const filled = (value: number): Float32Array => new Float32Array(TENSOR).fill(value);

/** Tensors as they are in the middle of a training, and their gradients. */
function makeTensors(count: number) {
  const tensors = Array.from({ length: count }, () => ({
    value: filled(0.02),
    expAvg: filled(1e-4),
    expAvgSq: filled(1e-6),
  }));
  return { tensors, gradients: tensors.map(() => filled(1e-3)) };
}

async function measure(count: number, { repeats }: BenchOptions): Promise<Row[]> {
  const { tensors, gradients } = makeTensors(count);
  const inPlace = makeTensors(count).tensors;
  moveToKernels(inPlace);
  const source = new Float32Array(count * TENSOR).fill(1);
  const target = new Float32Array(count * TENSOR).fill(1);
  const update = async (of: typeof tensors) => {
    for (const [i, tensor] of of.entries())
      adamWStep(tensor, gradients[i]!, { lr: 1e-6, step: 1000, gradientScale: 1 }, adamWDefaults);
  };
  const things = {
    'copy (Float32Array.set)': async () => target.set(source),
    'AdamW in place': () => update(inPlace),
    'AdamW through chunks': () => update(tensors),
    'gradient norm': async () => gradients.reduce((sum, g) => sum + sumOfSquares(g), 0),
  };
  const times = await alternate(things, repeats);
  const bytes = [BYTES.copy, BYTES.update, BYTES.update, BYTES.norm];
  const rates = Object.values(times).map(({ minMs }, i) => (bytes[i]! * source.length) / minMs / 1e6);
  return Object.entries(times).map(([pass, { medianMs, minMs }], i) => ({
    'million numbers': source.length / 1e6,
    pass,
    'median ms': medianMs,
    'least ms': minMs,
    'GB/s': rates[i]!,
    'of the copy': rates[i]! / rates[0]!,
  }));
}

/** One row a pass and size; rates by the least times. */
export async function optimizerSpeed(options: BenchOptions): Promise<Section> {
  const rows: Row[] = [];
  for (const count of COUNTS) rows.push(...(await measure(count, options)));
  return { title: 'AdamW on one thread; bytes a number: update 28, copy 8, norm 4', rows };
}
