#!/usr/bin/env node
/** @file `npm run bench:peers`: this program beside PyTorch + Hugging Face PEFT, on the same work in one run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../../../graph-builder/errors.js';
import { machineFacts } from '../../../runtime/node/devices/machine.js';
import { writeJson } from '../../../training-artifacts/files.js';
import { runMain } from '../run-main.js';
import { formatSection } from '../table.js';
import { measureEpochs } from './epoch.js';
import { openPeer, pythonWithPeers, type Settings, settingNames } from './programs.js';
import { type Result, tableRow } from './result.js';
import { type PeerRow, peerRows } from './rows.js';
import { lineRows, measureScaling, type Series } from './scaling.js';
import { writeScalingPlot } from './scaling-plot.js';
import { SettingChooser } from './setting.js';
import { measureBuild, measureStart } from './start.js';
import { measureSteps } from './steps.js';

const HELP = `npm run bench:peers -- [options]
  --rows NAMES    comma-separated names of rows; a name that ends with * stands for all that begin so; default: all.
                  --list prints them
  --repeats N     rounds, both programs in turn (default: 7); medians are printed. Epochs and starts: at most 3
  --setting S     how PyTorch runs: eager, sdpa, compile, channels-last or bf16; auto (default) tries all but the last
                  for a few steps on the row and takes the fastest
  --threads N     threads inside an operator, both programs (default: each program's own choice)
  --row-seconds N after which a row that has 3 rounds measures no more (default: 480)
  --limit N       epochs of the first N training questions only, to try things out (default: all)
  --python FILE   interpreter that has torch, transformers, peft, safetensors, numpy and pillow; default: a virtual
                  environment in the user's cache, made at the first call
  --out FILE      also write the results as JSON; scaling rows write scaling.svg beside it
  --list          print the rows
The ratio is peer's time / ours: above 1 this program is faster. Both have the same weights, batch, dropout and
threads, and flush denormals; GB is the peak of the process tree (sum of PSS) once opened, of commands from the start.
The base-size rows need up to 16 GB of memory; folders for temporary files 8 GB.`;

interface Found {
  readonly results: readonly Result[];
  readonly series?: Series;
}

async function measureRow(row: PeerRow, settings: Settings, chooser: SettingChooser): Promise<Found> {
  switch (row.work) {
    case 'epoch':
      return { results: await measureEpochs(row, settings) };
    case 'start':
      return { results: [await measureStart(row, settings)] };
    case 'build':
      return { results: await measureBuild(row, settings) };
    case 'scaling':
      return measureScaling(row, settings, chooser);
    default:
      return { results: [await measureSteps(row, settings, chooser)] };
  }
}

/** @throws {UserError} for a name that no row has. */
function chooseRows(list: string | undefined): readonly PeerRow[] {
  if (list === undefined) return peerRows;
  const chosen = list.split(',').flatMap((text) => {
    const name = text.trim();
    const found = peerRows.filter((row) =>
      name.endsWith('*') ? row.name.startsWith(name.slice(0, -1)) : row.name === name,
    );
    if (found.length > 0) return found;
    throw new UserError(`there is no row '${name}'`, '--rows', 'see --list');
  });
  return [...new Set(chosen)];
}

function readFlags() {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string' },
      repeats: { type: 'string', default: '7' },
      setting: { type: 'string', default: 'auto' },
      threads: { type: 'string' },
      'row-seconds': { type: 'string', default: '480' },
      limit: { type: 'string' },
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
  const setting = (['auto', ...settingNames] as const).find((name) => name === values.setting);
  if (!setting)
    throw new UserError(
      `PyTorch has no setting '${values.setting}' here`,
      '--setting',
      `choose auto, ${settingNames.join(', ')}`,
    );
  return {
    ...values,
    setting,
    repeats: count(values.repeats, '--repeats'),
    rowSeconds: count(values['row-seconds'], '--row-seconds'),
    limit: values.limit ? count(values.limit, '--limit') : undefined,
    threads: values.threads ? count(values.threads, '--threads') : undefined,
    rows: chooseRows(values.rows),
  };
}

/** @throws {UserError} when the peer does not start. */
async function peerVersions(settings: Settings): Promise<Readonly<Record<string, unknown>>> {
  const peer = openPeer(settings);
  try {
    return await peer.ask({ do: 'versions' });
  } catch (error) {
    throw new UserError(
      'the peer does not start: its message stands above',
      settings.python,
      'give an interpreter with the packages that --help lists as --python, or leave it out',
      { cause: error },
    );
  } finally {
    await peer.close();
  }
}

/** Measures the rows one by one; what is there is printed and written after each. */
async function measureAll(rows: readonly PeerRow[], settings: Settings, out: string | undefined) {
  const machine = machineFacts();
  const { cpu, onnxruntime } = machine;
  const peer = await peerVersions(settings);
  const title = `${cpu.model}, ${cpu.cores} CPUs (${cpu.features.join(' ')}), onnxruntime ${onnxruntime}, Node ${machine.node}; peer: PyTorch ${peer.torch}, transformers ${peer.transformers}, PEFT ${peer.peft}`;
  console.log(title);
  const chooser = new SettingChooser(settings);
  const results: Result[] = [];
  const series: Series[] = [];
  const failed: string[] = [];
  const { repeats, threads = null, setting, limit = null } = settings;
  for (const row of rows) {
    const started = performance.now();
    try {
      const found = await measureRow(row, settings, chooser);
      results.push(...found.results);
      if (found.series) series.push(found.series);
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      console.log(
        formatSection({ title: `\n${row.what} (${seconds} s)`, rows: found.results.map(tableRow) }),
      );
      for (const { tried = {} } of found.results.slice(0, 1))
        if (Object.keys(tried).length > 0) console.log(`  seconds by setting: ${JSON.stringify(tried)}`);
    } catch (error) {
      failed.push(row.name);
      console.error(`${row.name}: ${(error as Error).stack}`);
    }
    if (out) writeJson(out, { machine, peer, repeats, threads, setting, limit, results, series, failed });
  }
  console.log(`\n${formatSection({ title: 'all rows', rows: results.map(tableRow) })}`);
  if (series.length > 0) console.log(`\n${formatSection({ title: 'scaling', rows: lineRows(series) })}`);
  if (series.length > 0 && out) await writeScalingPlot(series, join(dirname(out), 'scaling.svg'));
  return failed;
}

async function main(): Promise<void> {
  const { rows, help, list, out, python, repeats, threads, setting, rowSeconds, limit } = readFlags();
  if (help) return console.log(HELP);
  if (list) return console.log(peerRows.map((row) => `${row.name}: ${row.what}`).join('\n'));
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-peers-'));
  try {
    const common = { repeats, threads, setting, rowSeconds, limit, folder };
    const failed = await measureAll(rows, { ...common, python: python ?? pythonWithPeers() }, out);
    if (failed.length > 0) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runMain(main);
