/** @file Initial values of weights, functions of (seed, name): any subset can be made alone. */
import { hash32, uniform } from '../../datasets/random.js';
import type { Parameter } from '../../graph-builder/ir/types.js';

/** Standard deviation of the reference's initialisation. */
const STD = 0.02;

/** Box-Muller pairs from counter-based uniforms. */
function fillNormal(values: Float32Array, key: number): void {
  for (let i = 0; i < values.length; i += 2) {
    const radius = STD * Math.sqrt(-2 * Math.log(1 - uniform(key, i)));
    const angle = 2 * Math.PI * uniform(key, i + 1);
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}

/**
 * Initial values of one parameter, float32 in row-major order.
 *
 * `normal`: N(0, 0.02²), as the reference; `kaimingUniform`: U(−b, b), b = 1/√fan_in, as PEFT initialises
 * lora_A (Kaiming with a = √5).
 */
export function initialValues({ name, shape, init }: Parameter, seed: number): Float32Array {
  const sizes = shape as readonly number[];
  const values = new Float32Array(sizes.reduce((p, n) => p * n, 1));
  const key = hash32(seed, name);
  if (init === 'ones') values.fill(1);
  if (init === 'normal') fillNormal(values, key);
  if (init === 'kaimingUniform') {
    const bound = 1 / Math.sqrt(sizes.slice(1).reduce((p, n) => p * n, 1));
    for (let i = 0; i < values.length; i++) values[i] = bound * (2 * uniform(key, i) - 1);
  }
  if (init === 'checkpoint') throw new Error(`internal: ${name} has no initialisation`);
  return values;
}
