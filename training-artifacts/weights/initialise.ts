/** @file Initial values of weights, functions of (seed, name): any subset can be made alone. */
import { hash32, uniform } from '../../datasets/random.js';
import type { Parameter } from '../../graph-builder/ir/types.js';

/** The reference's initialisation is N(0, 0.02²) at this width. */
const REFERENCE = { std: 0.02, width: 768 };

/** The model's width, from a matrix [out, in], a table [rows, width], tokens [1, n, width] or a kernel [width, …]. */
function modelWidth(name: string, sizes: readonly number[]): number {
  if (name.includes('embeddings.')) return sizes[1]!;
  if (sizes.length === 2) return Math.min(sizes[0]!, sizes[1]!);
  return sizes.length === 3 ? sizes[2]! : sizes[0]!;
}

/** Box-Muller pairs from counter-based uniforms. */
function fillNormal(values: Float32Array, std: number, key: number): void {
  for (let i = 0; i < values.length; i += 2) {
    const radius = std * Math.sqrt(-2 * Math.log(1 - uniform(key, i)));
    const angle = 2 * Math.PI * uniform(key, i + 1);
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}

/**
 * Initial values of one parameter, float32 in row-major order.
 *
 * `normal`: N(0, 0.02²) at width 768, as the reference, and 0.02·√(768/width) at others, so that narrow models
 * start with activations of the same size; `standardNormal`: N(0, 1), as PyTorch's embeddings; `kaimingUniform`:
 * U(−b, b), b = 1/√fan_in, as PEFT initialises lora_A (Kaiming with a = √5) and PyTorch its linear layers.
 */
export function initialValues({ name, shape, init }: Parameter, seed: number): Float32Array {
  const sizes = shape as readonly number[];
  const values = new Float32Array(sizes.reduce((p, n) => p * n, 1));
  const key = hash32(seed, name);
  if (init === 'ones') values.fill(1);
  if (init === 'normal') {
    fillNormal(values, REFERENCE.std * Math.sqrt(REFERENCE.width / modelWidth(name, sizes)), key);
  }
  if (init === 'standardNormal') fillNormal(values, 1, key);
  if (init === 'kaimingUniform') {
    const bound = 1 / Math.sqrt(sizes.slice(1).reduce((p, n) => p * n, 1));
    for (let i = 0; i < values.length; i++) values[i] = bound * (2 * uniform(key, i) - 1);
  }
  if (init === 'checkpoint' || init === 'rowNorms')
    throw new Error(`internal: ${name} has no initialisation`);
  return values;
}

/** Lengths of the rows of a weight [out, in…], float32 [out]: where DoRA's magnitudes start. */
export function rowNorms(weight: Float32Array, out: number): Float32Array {
  const width = weight.length / out;
  return Float32Array.from({ length: out }, (_, o) => {
    let total = 0;
    for (let i = o * width; i < (o + 1) * width; i++) total += weight[i]! * weight[i]!;
    return Math.sqrt(total);
  });
}

/** A trained tensor as a manifest lists it; `added`: the base has no such tensor. */
export interface StartedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Parameter['init'];
  readonly added: boolean;
}

/** The base weight that a trained tensor starts from; undefined: none. */
export function baseTensorOf({ name, init, added }: StartedTensor): string | undefined {
  if (!added) return name;
  return init === 'rowNorms' ? name.replace(/lora_magnitude_vector$/, 'weight') : undefined;
}

/**
 * The value that a trained tensor starts with.
 *
 * @param base what {@link baseTensorOf} names
 */
export function startValue(tensor: StartedTensor, seed: number, base?: Float32Array): Float32Array {
  const { name, shape, init } = tensor;
  if (!base)
    return initialValues({ kind: 'parameter', name, dtype: 'float32', shape, init, trainable: true }, seed);
  return tensor.added
    ? rowNorms(
        base,
        shape.reduce((p, n) => p * n, 1),
      )
    : base;
}
