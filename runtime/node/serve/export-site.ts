/** @file Writes the site as a folder that any file server can serve. */
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { UserError } from '../../../graph-builder/errors.js';
import { asFileError, writeAtomic } from '../../../training-artifacts/files.js';
import { siteHeaders } from './headers.js';
import type { Site } from './site.js';

/** Netlify's, Cloudflare Pages' and others' own form. */
const headersFile = `/*\n${Object.entries(siteHeaders)
  .map(([name, value]) => `  ${name}: ${value}\n`)
  .join('')}`;

const readme = `This folder is a web page that answers questions about images in the browser. It sends nothing anywhere.

Serve it with any file server over HTTPS (or on localhost); opening index.html as a file does not work.

For full speed the server should send these headers with every file (_headers holds them for servers that read it):

${Object.entries(siteHeaders)
  .map(([name, value]) => `  ${name}: ${value}`)
  .join('\n')}

Without the two cross-origin headers the page adds them itself from its second load on; where it cannot, it
computes in one thread, several times slower, and says so.

Nginx: add_header Cross-Origin-Opener-Policy same-origin; add_header Cross-Origin-Embedder-Policy require-corp;
Apache: Header set Cross-Origin-Opener-Policy same-origin, Header set Cross-Origin-Embedder-Policy require-corp

After the first visit the page works offline.
`;

/** The mark by which a folder is known as an earlier export. */
const MARK = 'runs.json';

/**
 * The folder appears whole or not at all; an earlier export is replaced.
 *
 * @returns bytes that were written
 * @throws {UserError} when the folder holds other files; {FileError} when it cannot be written.
 */
export function exportSite(site: Site, folder: string): number {
  const target = resolve(folder);
  if (existsSync(target) && readdirSync(target).length > 0 && !existsSync(join(target, MARK)))
    throw new UserError('the folder has files and is no earlier export', folder, 'choose another --export');
  const temporary = `${target}.tmp`;
  try {
    rmSync(temporary, { recursive: true, force: true });
    let bytes = 0;
    for (const [path, { content }] of site) {
      const file = join(temporary, path);
      mkdirSync(dirname(file), { recursive: true });
      if (typeof content === 'string') cpSync(content, file, { dereference: true });
      else writeAtomic(file, content());
    }
    writeAtomic(join(temporary, '_headers'), headersFile);
    writeAtomic(join(temporary, 'README.txt'), readme);
    for (const entry of readdirSync(temporary, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
    rmSync(target, { recursive: true, force: true });
    renameSync(temporary, target);
    return bytes;
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw asFileError(error, folder, 'write');
  }
}
