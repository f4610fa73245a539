/** @file Whether the trained tensors of an adapter fit a run. */
import { FileError } from '../../graph-builder/errors.js';

export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
/** By reference name. */
export type NamedTensors = ReadonlyMap<string, NamedTensor>;

/** Ranks are free in the serving graphs: all axes but a lora_'s rank must agree. */
function sameShape(name: string, a: readonly number[], b: readonly number[]): boolean {
  const free = /\.lora_A\.weight$/.test(name) ? 0 : /\.lora_B\.weight$/.test(name) ? 1 : -1;
  return a.length === b.length && a.every((n, axis) => axis === free || n === b[axis]);
}

/** @throws {FileError} unless the tensors are those that the run's graphs take. */
export function checkTensors(
  tensors: NamedTensors,
  {
    trainable,
  }: { readonly trainable: readonly { readonly name: string; readonly shape: readonly number[] }[] },
  file: string,
): void {
  const remedy = 'choose an adapter of the same method on the same sites, or open its own run';
  for (const { name, shape } of trainable) {
    const found = tensors.get(name);
    if (!found) throw new FileError(`it has no ${name}`, file, remedy);
    if (!sameShape(name, shape, found.shape))
      throw new FileError(`${name} is [${found.shape}], the run needs [${shape}]`, file, remedy);
  }
  const known = new Set(trainable.map(({ name }) => name));
  const foreign = [...tensors.keys()].find((name) => !known.has(name));
  if (foreign) throw new FileError(`the run has no ${foreign}`, file, remedy);
}
