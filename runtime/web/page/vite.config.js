/** @file Builds the page into .build/page; `npm run prepare` calls it. */
import { createHash } from 'node:crypto';
import { defineConfig } from 'vite';

/** Puts the list of built files, and a name for exactly these, into the service worker. */
const precache = {
  name: 'precache',
  generateBundle(_, bundle) {
    const own = bundle['service-worker.js'];
    const files = Object.keys(bundle).filter(
      (name) => name !== 'service-worker.js' && !name.endsWith('.map'),
    );
    const hash = createHash('sha256');
    for (const name of files.toSorted()) hash.update(name).update(bundle[name].code ?? bundle[name].source);
    own.code = own.code
      .replace(/(['"`])__FILES__\1/, JSON.stringify(['./', 'icon.svg', 'app.webmanifest', ...files]))
      .replace('__VERSION__', hash.digest('hex').slice(0, 12));
  },
};

const root = import.meta.dirname;

export default defineConfig({
  root,
  base: './',
  // ONNX Runtime's own files are served beside the page, from its package
  resolve: { conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'production'] },
  worker: { format: 'es' },
  plugins: [precache],
  build: {
    target: 'es2023',
    outDir: '../../../.build/page',
    emptyOutDir: true,
    modulePreload: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
    rollupOptions: {
      input: { index: `${root}/index.html`, 'service-worker': `${root}/service-worker.ts` },
      output: {
        entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js'),
      },
    },
  },
});
