/** @file The project's programs as users start them. */
import { spawn } from 'node:child_process';

/** @throws {Error} with what it said, when it fails. */
export async function runBin(bin: string, args: readonly string[]): Promise<void> {
  const path = new URL(`../../../runtime/node/cli/bin/${bin}.js`, import.meta.url).pathname;
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`${bin} ${args.join(' ')} ended with code ${code}: ${said.slice(-2000)}`);
}
