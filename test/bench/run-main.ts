/** @file How every benchmark ends: what a user did wrong is said in words, without a stack. */
import { UserError } from '../../graph-builder/errors.js';

const isFlagError = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_');

/** Runs a benchmark; exit code 2 for flags or settings that it cannot take. */
export async function runMain(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (isFlagError(error)) console.error(`${error.message}\n  where: command line\n  to do: see --help`);
    else if (error instanceof UserError) console.error(error.message);
    else throw error; // a bug of ours: here the stack helps
    process.exitCode = 2;
  }
}
