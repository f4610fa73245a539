/** @file What all commands share: strict options, help, errors without stack traces, exit codes. */

import yargs, { type ArgumentsCamelCase, type Argv } from 'yargs';
import { hideBin } from 'yargs/helpers';
import { UserError } from '../../../graph-builder/errors.js';

export { NOTICE } from '../../core/notice.js';

/**
 * What yargs found wrong last. It looks for missing flags before unknown ones; one that is misspelt is both, and its
 * name is what helps.
 */
let wrong: string | undefined;
const note = (message: string, error?: Error): void => {
  if (error) throw error;
  wrong = message;
};

/** @throws {UserError} when something is wrong with the flags. */
function refuseWrong(): void {
  if (wrong !== undefined) throw new UserError(wrong, 'command line', 'run it with --help');
}

/** A whole program: its options give the flags' types. */
export interface Command<T> {
  readonly describe: string;
  readonly options: (y: Argv) => Argv<T>;
  readonly handler: (flags: ArgumentsCamelCase<T>) => Promise<void>;
}

/** yargs goes on after what was noted. */
const guarded =
  <T>({ handler }: Command<T>) =>
  (flags: ArgumentsCamelCase<T>): Promise<void> => {
    refuseWrong();
    return handler(flags);
  };

export const defineCommand = <T>(command: Command<T>): Command<T> => command;

/** A program that another one started, as ort-study does, ends with it: nobody else would stop it. */
function endWithParent(): void {
  if (!process.channel) return;
  process.on('disconnect', () => process.exit(1));
  process.channel.unref(); // listening alone would keep this process alive
}

/** Strict, with help; an error of the input ends with exit code 2 and no stack trace, one of ours with 1. */
async function runProgram(name: string, addCommands: (y: Argv) => Argv): Promise<void> {
  endWithParent();
  try {
    await addCommands(yargs(hideBin(process.argv)).scriptName(name))
      .strict()
      .fail(note)
      .help()
      .alias('help', 'h')
      .version(false)
      .wrap(Math.min(110, process.stdout.columns ?? 110))
      .parseAsync();
    refuseWrong(); // no command was given to run
  } catch (error) {
    if (!(error instanceof UserError)) throw error; // a bug of ours: here the stack helps
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  }
}

/** Runs one command as the whole of a program. */
export const main = <T>(name: string, command: Command<T>): Promise<void> =>
  runProgram(name, (y) => y.command('$0', command.describe, command.options, guarded(command)));

/** Adds a command to a program of several; `usage` is its name and what stands behind it, e.g. `import <source>`. */
export type AddCommand = (y: Argv) => Argv;

export const subcommand =
  <T>(usageText: string, command: Command<T>): AddCommand =>
  (y) =>
    y.command(usageText, command.describe, command.options, guarded(command));

/** Runs a program of several commands. */
export const mainOf = (name: string, commands: readonly AddCommand[]): Promise<void> =>
  runProgram(name, (y) =>
    commands
      .reduce((all, add) => add(all), y)
      .demandCommand(1, 'a command is missing: choose one of those in --help'),
  );

/** @throws {UserError} unless a count that was given is a whole number from `least`. */
export function checkCount<T extends number | undefined>(count: T, flag: string, least = 1): T {
  if (count === undefined || (Number.isInteger(count) && count >= least)) return count;
  throw new UserError(`${count} is not a whole number from ${least}`, flag, `give ${least} or more`);
}

/** Columns padded to their widest cell; the first is left-aligned, the others right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, c) => Math.max(...rows.map((row) => row[c]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export const formatCount = (n: number): string => n.toLocaleString('en-US');
