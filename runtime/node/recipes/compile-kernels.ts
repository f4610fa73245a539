/** @file The kernels' WebAssembly, as a module of this program's source. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../../datasets/package-root.js';

const folder = (): string => join(packageRoot(), 'runtime', 'core', 'kernels');

/** Where the compiled kernels stand. */
export const kernelsFile = (): string => join(folder(), 'wasm.ts');

/** The text of {@link kernelsFile}, compiled from the AssemblyScript source. Needs the development packages. */
export async function compileKernels(): Promise<string> {
  const { default: asc } = await import('assemblyscript/asc');
  const source = readFileSync(join(folder(), 'assembly', 'kernels.ts'), 'utf8');
  let wasm: Uint8Array | undefined;
  const options = ['--optimizeLevel', '3', '--runtime', 'stub', '--noAssert', '--enable', 'simd'];
  const { error, stderr } = await asc.main(
    ['kernels.ts', ...options, '--importMemory', '--outFile', 'kernels.wasm'],
    {
      readFile: (name) => (name === 'kernels.ts' ? source : null),
      writeFile: (_, contents) => {
        if (typeof contents !== 'string') wasm = contents;
      },
      listFiles: () => null,
    },
  );
  if (error || !wasm) throw new Error(`internal: kernels.ts does not compile: ${stderr.toString()}`);
  const lines = Buffer.from(wasm)
    .toString('base64')
    .match(/.{1,100}/g)!;
  return [
    "/** @file Made by `npm run make:kernels` from assembly/kernels.ts. Don't edit. */",
    '',
    '/** The module in base64. */',
    'export const kernelsWasm =',
    ...lines.map((line, i) => `  '${line}'${i + 1 < lines.length ? ' +' : ';'}`),
    '',
  ].join('\n');
}
