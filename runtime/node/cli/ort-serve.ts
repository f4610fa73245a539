/** @file `ort-serve`: the page that answers and fine-tunes in the browser. */
import type { Argv } from 'yargs';
import { checkCount, defineCommand, NOTICE } from './main.js';

const options = (y: Argv) =>
  y
    .option('run', {
      type: 'string',
      array: true,
      describe: 'run folders; default: all in runs/ that answer',
    })
    .option('port', { type: 'number', default: 8080, describe: '0: any free port' })
    .option('host', {
      type: 'string',
      default: '127.0.0.1',
      describe: 'address to listen on; the default is this machine only',
    })
    .option('export', { type: 'string', describe: 'write a folder for any file server and end' })
    .option('json', { type: 'boolean', default: false, describe: 'print the address or the folder as JSON' })
    .example('$0', 'all runs, at http://127.0.0.1:8080/')
    .example('$0 --run runs/lora-r8 runs/ia3 --port 0', 'two runs to choose from and compare')
    .example('$0 --export site', 'a folder that works offline after the first visit');

/** `ort-serve`: serves until Ctrl-C. Images and questions stay in the browser: the server receives nothing. */
export const ortServe = defineCommand({
  describe: 'Serve a page that answers questions and fine-tunes in the browser',
  options,
  handler: async ({ run, port, host, export: folder, json }) => {
    checkCount(port, '--port', 0);
    const { answeringRuns, siteOf } = await import('../serve/site.js');
    const { RUNS } = await import('../runs.js');
    const site = siteOf(run ?? answeringRuns(RUNS));
    if (folder !== undefined) {
      const { exportSite } = await import('../serve/export-site.js');
      const bytes = exportSite(site, folder);
      if (json) return console.log(JSON.stringify({ folder, bytes }));
      console.log(`${folder}: ${(bytes / 1e6).toFixed(0)} MB; ${folder}/README.txt says how to serve it`);
      return;
    }
    const { isLoopback, serve } = await import('../serve/server.js');
    const server = await serve(site, { host, port });
    if (!isLoopback(host))
      process.stderr.write(
        'note: other machines can open this page; without HTTPS their browsers keep nothing and use one thread\n',
      );
    console.log(
      json ? JSON.stringify({ url: server.url, notice: NOTICE }) : `${server.url}  (Ctrl-C ends)\n${NOTICE}`,
    );
    await new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    });
    await server.close();
  },
});
