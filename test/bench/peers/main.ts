#!/usr/bin/env node
/** @file `npm run bench:peers`: this program beside PyTorch + Hugging Face PEFT, on the same work in one run. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot } from '../../../datasets/package-root.js';
import { UserError } from '../../../graph-builder/errors.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import { weightsPath } from '../../../training-artifacts/graphs/manifest.js';
import { cacheFolder } from '../../../training-artifacts/weights/cache.js';
import { median } from '../measure.js';
import { formatSection, type Row } from '../table.js';
import { ratioInterval } from './ratio.js';
import { type PeerRow, peerRows } from './rows.js';
import { Worker } from './worker.js';

const HELP = `npm run bench:peers -- [options]
  --rows NAMES    comma-separated names of rows; default: all. --list prints them
  --repeats N     rounds, both programs in turn (default: 7); medians are printed
  --setting S     eager, sdpa, compile, channels-last or bf16: how PyTorch runs (default: sdpa; try the others, the
                  fastest at float32 is the peer)
  --threads N     threads inside an operator, both programs (default: each program's own choice)
  --python FILE   interpreter that has torch, transformers, peft and safetensors; default: a virtual environment in the
                  user's cache, made at the first call
  --out FILE      also write the results as JSON
  --list          print the rows
The ratio is peer's time / ours: above 1 this program is faster. The base-size rows need 16 GB of memory.`;

const PACKAGES = ['torch==2.13.0', 'transformers==5.24.0', 'peft==0.21.2', 'safetensors', 'numpy'];

/** The interpreter of a virtual environment with the peers. */
function pythonWithPeers(): string {
  const folder = join(cacheFolder(), 'peers');
  const python = join(folder, 'bin', 'python');
  if (!existsSync(join(folder, 'complete'))) {
    console.error(`making a virtual environment with ${PACKAGES.join(', ')} in ${folder}`);
    execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...PACKAGES], { stdio: 'inherit' });
    writeFileSync(join(folder, 'complete'), '');
  }
  return python;
}

interface Settings {
  readonly repeats: number;
  readonly threads: number | undefined;
  readonly setting: string;
  readonly python: string;
}

/** Both programs on one row's work, in turn. */
async function measureRow(row: PeerRow, folder: string, settings: Settings): Promise<Row> {
  const run = join(folder, 'run');
  const { variant, placement, preset, options } = row;
  const manifest = emitVariant(
    { preset, weights: 'random', ...(variant === 'full' ? { variant } : { variant, placement }) },
    run,
    true,
  );
  const batchFile = join(folder, 'batch.safetensors');
  const { repeats, threads } = settings;
  const ours = new Worker(process.execPath, [new URL('./ours.js', import.meta.url).pathname]);
  const script = join(packageRoot(), 'test', 'bench', 'peers', 'peer.py');
  const peer = new Worker(settings.python, [script], { OMP_WAIT_POLICY: 'passive' });
  const { work } = row;
  const own = await ours.ask({
    do: 'open',
    run,
    options: { ...options, threads: threads ?? null },
    batchFile,
    work,
  });
  const { config } = manifest;
  const sizes = {
    hidden_size: config.hidden,
    num_attention_heads: config.textHeads,
    intermediate_size: config.intermediate,
    num_hidden_layers: config.textLayers,
    num_vision_layers: config.visionLayers,
    num_vision_heads: config.visionHeads,
    image_size: config.imageSize,
    patch_size: config.patchSize,
    vocab_size: config.vocab,
    max_position_embeddings: config.maxPositions,
    sep_token_id: 102,
    dec_token_id: 30522,
    enc_token_id: 30523,
  };
  const weights = weightsPath(run, manifest);
  const other = await peer.ask({
    do: 'open',
    ...{ sizes, variant, placement, weights, batch: batchFile, threads: threads ?? null, work },
    ...{ setting: settings.setting, lr: 1e-5 },
  });
  const difference = Math.abs((own.loss as number) - (other.loss as number)) / (own.loss as number);
  const times = { ours: [] as number[], peer: [] as number[] };
  for (let round = -1; round < repeats; round++) {
    for (const [name, worker] of [
      ['ours', ours],
      ['peer', peer],
    ] as const) {
      const { ms } = (await worker.ask({ do: 'run' })) as { ms: number };
      if (round >= 0) times[name].push(ms); // the first round warms both up
    }
  }
  const [ourBytes, peerBytes] = [ours.close(), peer.close()];
  const { low, high } = ratioInterval(times.peer, times.ours);
  return {
    row: row.name,
    'ours ms': median(times.ours),
    'peer ms': median(times.peer),
    'peer / ours': median(times.peer) / median(times.ours),
    '95%': `${low.toFixed(2)}-${high.toFixed(2)}`,
    'ours GB': ourBytes / 1e9,
    'peer GB': peerBytes / 1e9,
    'ours / peer GB': ourBytes / peerBytes,
    'loss differs by': difference.toExponential(0),
  };
}

function readFlags() {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string' },
      repeats: { type: 'string', default: '7' },
      setting: { type: 'string', default: 'sdpa' },
      threads: { type: 'string' },
      python: { type: 'string' },
      out: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const count = (text: string, flag: string): number => {
    if (/^[1-9]\d*$/.test(text)) return Number(text);
    throw new UserError(`'${text}' is not a count`, flag, 'give a whole number from 1');
  };
  const names = values.rows?.split(',').map((name) => name.trim());
  const unknown = names?.find((name) => !peerRows.some((row) => row.name === name));
  if (unknown) throw new UserError(`there is no row '${unknown}'`, '--rows', 'see --list');
  return {
    ...values,
    repeats: count(values.repeats, '--repeats'),
    threads: values.threads ? count(values.threads, '--threads') : undefined,
    rows: peerRows.filter((row) => !names || names.includes(row.name)),
  };
}

async function main(): Promise<void> {
  const { rows, help, list, out, python, repeats, threads, setting } = readFlags();
  if (help) return console.log(HELP);
  if (list) return console.log(peerRows.map((row) => `${row.name}: ${row.what}`).join('\n'));
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-peers-'));
  const settings = { repeats, threads, setting, python: python ?? pythonWithPeers() };
  const title = `peers: PyTorch (${setting}) on ${cpus().length} CPUs (${cpus()[0]?.model}), ${repeats} rounds`;
  const measured: Row[] = [];
  try {
    for (const row of rows) {
      measured.push(await measureRow(row, folder, settings));
      console.log(formatSection({ title: '', rows: [measured.at(-1)!] }).trim());
      if (out) writeFileSync(out, JSON.stringify({ title, rows: measured }, null, 2));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(formatSection({ title, rows: measured }));
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error; // a bug of ours: here the stack helps
  console.error(error.message);
  process.exitCode = 2;
}
