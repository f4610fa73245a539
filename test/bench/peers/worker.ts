/** @file A program that is measured: it takes commands as JSON lines and answers each with one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { watchMemory } from '../../../runtime/node/memory.js';

export type Reply = Readonly<Record<string, unknown>>;

export class Worker {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterableIterator<string>;
  private readonly memory: { stop(): number };

  constructor(command: string, args: readonly string[], environment: Record<string, string> = {}) {
    this.child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    });
    const reader: Interface = createInterface({ input: this.child.stdout! });
    this.lines = reader[Symbol.asyncIterator]() as AsyncIterableIterator<string>;
    this.memory = watchMemory(this.child.pid!);
  }

  /** @throws {Error} when the program ends instead. */
  async ask(command: Readonly<Record<string, unknown>>): Promise<Reply> {
    this.child.stdin!.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`the program ended at '${command.do}': its message stands above`);
    return JSON.parse(value) as Reply;
  }

  /** Ends the program; its peak memory in bytes. */
  close(): number {
    this.child.stdin!.end();
    this.child.kill();
    return this.memory.stop();
  }
}
