/** @file Errors a user can act on: what is wrong, where, and what to do. */

/**
 * An error of the input, not of the program. Printed without a stack trace.
 *
 * @example throw new UserError('rank 0', '--variant lora-r0', 'choose a rank of at least 1');
 */
export class UserError extends Error {
  constructor(
    readonly what: string,
    /** file:line, tensor, node or option */
    readonly where: string,
    readonly remedy: string,
    options?: ErrorOptions,
  ) {
    super(`${what}\n  where: ${where}\n  to do: ${remedy}`, options);
    this.name = new.target.name;
  }
}

/** Shapes or dtypes that do not fit an operator. */
export class ShapeError extends UserError {}

/** A rewrite found nothing that it may change, or may not change what it found. */
export class RewriteError extends UserError {}

/** A file that is missing, damaged or not what its name says. */
export class FileError extends UserError {}
