/** @file Does pieces of work side by side, at most so many at a time. */

export interface Work<T> {
  /** pieces at a time */
  readonly jobs: number;
  /** whether a piece may start while these others are waiting or worked at */
  mayStart(piece: T, others: readonly T[]): boolean;
  run(piece: T): Promise<void>;
  /** whether no further piece is to be started */
  isStopped(): boolean;
  /** called when the first piece throws: the others are still worked at */
  onError(): void;
}

/**
 * Starts the pieces in their order, except that one which may not start lets later ones pass. Where nothing is worked
 * at and none may start, the first starts all the same.
 *
 * @throws what the first piece threw, once all that had been started have ended.
 */
export async function sideBySide<T>(pieces: readonly T[], work: Work<T>): Promise<void> {
  const waiting = [...pieces];
  const atWork = new Map<T, Promise<void>>();
  let thrown: { readonly error: unknown } | undefined;
  const start = (piece: T): void => {
    const fail = (error: unknown) => {
      if (thrown) return;
      thrown = { error };
      work.onError();
    };
    atWork.set(
      piece,
      work
        .run(piece)
        .catch(fail)
        .finally(() => atWork.delete(piece)),
    );
  };
  const next = (): T | undefined => {
    const isFree = (piece: T) =>
      work.mayStart(piece, [...atWork.keys(), ...waiting.filter((other) => other !== piece)]);
    const at = waiting.findIndex(isFree);
    if (at >= 0) return waiting.splice(at, 1)[0];
    return atWork.size === 0 ? waiting.shift() : undefined;
  };
  for (;;) {
    while (atWork.size < work.jobs && !thrown && !work.isStopped()) {
      const piece = next();
      if (piece === undefined) break;
      start(piece);
    }
    if (atWork.size === 0) break;
    await Promise.race(atWork.values());
  }
  if (thrown) throw thrown.error;
}
