/** @file One thing after another: ONNX Runtime's sessions in a worker do not run at the same time. */

let last: Promise<unknown> = Promise.resolve();

/** Runs `work` when all that was asked for before has ended, well or not. */
export function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = last.then(work, work);
  last = result.catch(() => undefined);
  return result;
}
