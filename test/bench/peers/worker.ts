/** @file A program that is measured: it takes commands as JSON lines and answers each with one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { watchTree } from './process-tree.js';

export type Reply = Readonly<Record<string, unknown>>;

export class Worker {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterableIterator<string>;
  private memory: { stop(): number } | undefined;

  constructor(command: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    this.child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    });
    // a program that is missing or ends early is seen as the end of its lines
    this.child.on('error', (error) => console.error(error.message));
    this.child.stdin!.on('error', () => {});
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  /** @throws {Error} when the program ends instead. */
  async ask(command: Readonly<Record<string, unknown>>): Promise<Reply> {
    this.child.stdin!.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`the program ended at '${command.do}': its message stands above`);
    return JSON.parse(value) as Reply;
  }

  /** From here on, peak memory counts: what opening needed besides does not. */
  watchMemory(): void {
    this.memory?.stop();
    this.memory = watchTree(this.child.pid!);
  }

  /** Ends the program, so that its memory is free; its peak in bytes since {@link watchMemory}, 0 without. */
  async close(): Promise<number> {
    const bytes = this.memory?.stop() ?? 0;
    if (this.child.exitCode === null && this.child.signalCode === null && this.child.pid) {
      const ended = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await ended;
    }
    return bytes;
  }
}
