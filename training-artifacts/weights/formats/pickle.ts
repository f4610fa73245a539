/**
 * @file Reads Python pickles as data: an interpreter of the pickle machine that knows no import and no call but those
 * of an allow-list. It is our own because pickleparser cannot read the legacy format (its LONG1 stops at 8 bytes, and
 * it does not say where a pickle ends), gets negative LONG1 wrong and has no limits.
 */
import { PickleMachine, type PickleRules, type PickleValue } from './pickle-machine.js';
import { opcodes } from './pickle-opcodes.js';

/** A state dict of 1,000 tensors with AdamW's moments has 150,000 operations in 300 kB. */
const MAX_OPERATIONS = 2 ** 20;
export const MAX_PICKLE = 2 ** 25;

/**
 * Reads the pickle at the start of `bytes`. `end` is where it stops.
 *
 * @throws {FileError} naming the first global, class or operation that data do not need, or the damage.
 */
export function readPickle(bytes: Uint8Array, rules: PickleRules): { value: PickleValue; end: number } {
  const machine = new PickleMachine(bytes, rules);
  for (let count = 0; count < MAX_OPERATIONS; count++) {
    const code = machine.unsigned(1);
    if (code === 0x2e /* STOP */) return { value: machine.pop(), end: machine.at };
    const run = opcodes.get(code);
    if (!run) throw machine.fail(`unknown operation 0x${code.toString(16)}`);
    run(machine);
  }
  throw machine.refuse(`has more than ${MAX_OPERATIONS} operations`);
}
