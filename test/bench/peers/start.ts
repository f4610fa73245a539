/** @file How long it takes until something happens: from command to first step, and build-graph. */
import { join } from 'node:path';
import { PeerFiles, type Trained, trainOurs } from './epoch.js';
import { runProgram } from './process-tree.js';
import { buildRun, ourBin, type Settings, sharedWeights } from './programs.js';
import { type Result, resultOf } from './result.js';
import type { BuildRow, StartRow } from './rows.js';

const MOST_ROUNDS = 3;

const firstStep = ({ startedAt, steps }: Trained): number => steps[0]!.time - startedAt;

/** In turn; a first round brings the files into memory. */
export async function measureStart(row: StartRow, settings: Settings): Promise<Result> {
  const built = await buildRun(row, settings);
  const files = await PeerFiles.write(row, built, settings);
  const { batchSize, most, what } = row;
  const setting = settings.setting === 'auto' ? 'sdpa' : settings.setting;
  const found = { ours: [] as Trained[], peer: [] as Trained[] };
  for (let round = -1; round < Math.min(settings.repeats, MOST_ROUNDS); round++) {
    const flags = ['--batch-size', String(batchSize), '--max-steps', '1'];
    const ours = await trainOurs(built.run, flags, settings);
    const peer = await files.train({ batchSize, epochs: 1, maxSteps: 1, setting });
    if (round < 0) continue;
    found.ours.push(ours);
    found.peer.push(peer);
  }
  const bytes = (all: readonly Trained[]) => Math.max(...all.map(({ peakBytes }) => peakBytes));
  return resultOf(
    { row: row.name, what, setting, most },
    {
      ...{ ours: found.ours.map(firstStep), peer: found.peer.map(firstStep) },
      ...{ oursBytes: bytes(found.ours), peerBytes: bytes(found.peer) },
    },
  );
}

/** Two lines: with random weights, and on a file of weights. */
export async function measureBuild(row: BuildRow, settings: Settings): Promise<Result[]> {
  const { preset, variant, placement, what } = row;
  const { folder, repeats } = settings;
  const known = sharedWeights(preset, folder);
  const results: Result[] = [];
  for (const [name, weights] of [
    ['weights and graphs', 'random'],
    ['graphs', known],
  ] as const) {
    const model = ['--preset', preset, '--variant', variant, '--placement', placement, '--weights', weights];
    const place = ['--out', join(folder, 'built'), '--name', 'run'];
    const finished = [];
    for (let round = 0; round < Math.min(repeats, MOST_ROUNDS); round++)
      finished.push(await runProgram(process.execPath, [ourBin('build-graph'), ...model, ...place]));
    const ours = finished.map(({ seconds }) => seconds);
    const oursBytes = Math.max(...finished.map(({ peakBytes }) => peakBytes));
    results.push(resultOf({ row: `${row.name}, ${name}`, what, setting: '' }, { ours, peer: [], oursBytes }));
  }
  return results;
}
