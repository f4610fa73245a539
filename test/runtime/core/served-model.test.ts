/** @file Several adapters on one base against runs that are opened one by one. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Answerer } from '../../../runtime/core/answerer.js';
import type { Beam } from '../../../runtime/core/beam-search.js';
import { type LoadedAdapter, ServedModel } from '../../../runtime/core/served-model.js';
import { openInference, servingFeeds } from '../../../runtime/node/inference.js';
import { exportAdapter } from '../../../runtime/node/training/finish.js';
import { openSession as openWebSession } from '../../../runtime/web/ort.js';
import { readAdapterFolder } from '../../../training-artifacts/adapters/peft-folder.js';
import { noAdapter } from '../../../training-artifacts/adapters/stored-adapter.js';
import { trainedValues } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { readManifest } from '../../../training-artifacts/graphs/manifest.js';
import { weightsFile } from '../../support/golden.js';
import {
  goldenBase,
  goldenBeams,
  goldenImages,
  goldenQuestions,
  goldenRun,
  goldenSpecial,
} from '../../support/golden-run.js';
import { temporaryFolder } from '../node/runs.js';

/** In the order of loading, with the graphs that each needs beyond those before it. */
const rows = [
  { variant: 'lora-r4', placement: 'F/P/P', opens: ['imageEncoder', 'questionEncoder', 'answerDecoder'] },
  { variant: 'lora-r8', placement: 'F/P/P', opens: [] }, // another rank
  { variant: 'ia3', placement: 'F/P/P', opens: ['questionEncoder', 'answerDecoder'] },
  { variant: 'lora-r4', placement: 'T/T/P', opens: ['imageEncoder', 'questionEncoder'] },
  { variant: 'ptv2-n10', placement: 'F/P/P', opens: ['questionEncoder', 'answerDecoder'] },
  { variant: 'prefix-n10', placement: 'F/P/P', opens: [] }, // a table is a table
] as const;
const labelOf = ({ variant, placement }: (typeof rows)[number]) => `${variant} ${placement}`;

/** Beams of a run with sessions of its own, from its graphs' files. */
async function separately(run: string): Promise<Beam[][]> {
  const manifest = readManifest(run);
  const sessions = await openInference(run, manifest, 1);
  const feeds = servingFeeds(trainedValues(run, manifest, 'last'), manifest);
  const beams = await goldenBeams(new Answerer(sessions, manifest.config, feeds, goldenSpecial));
  for (const session of Object.values(sessions)) await session.release();
  return beams;
}

function expectSameBeams(found: Beam[][], expected: Beam[][], tolerance: number): void {
  expect(found.map((q) => q.map((b) => b.ids))).toEqual(expected.map((q) => q.map((b) => b.ids)));
  found.flat().forEach(({ logProb }, i) => {
    expect(Math.abs(logProb - expected.flat()[i]!.logProb)).toBeLessThanOrEqual(tolerance);
  });
}

describe('adapters of all methods, held at once', () => {
  const base = goldenBase();
  const model = new ServedModel(base);
  const runs = new Map<string, string>();
  const loads = new Map<string, LoadedAdapter & { opened: string[] }>();

  beforeAll(async () => {
    const folder = temporaryFolder();
    for (const row of rows) {
      const run = goldenRun(folder, row.variant, row.placement);
      runs.set(labelOf(row), run);
      const before = base.opened.length;
      const loaded = await model.loadAdapter(labelOf(row), readAdapterFolder(exportAdapter(run)));
      loads.set(labelOf(row), { ...loaded, opened: base.opened.slice(before) });
    }
  });
  afterAll(() => model.release());

  test.each(rows.map((row) => [labelOf(row), row] as const))(
    '%s opens no more than it needs',
    (label, row) => {
      expect(loads.get(label)!.opened).toEqual(row.opens);
      expect(loads.get(label)!.newSessions).toBe(row.opens.length);
    },
  );

  test('each answers as its run by itself, whatever answered before it', async () => {
    const own = new Map<string, Beam[][]>();
    for (const [label, run] of runs) own.set(label, await separately(run));
    for (const labels of [[...runs.keys()], [...runs.keys()].reverse()])
      for (const label of labels)
        expectSameBeams(await goldenBeams(model.answerer(label)), own.get(label)!, 1e-6);
    const texts = new Set([...own.values()].map((beams) => JSON.stringify(beams)));
    expect(texts.size).toBe(rows.length); // or the comparison could not fail
  });

  test('the graphs are those of the run, byte by byte', async () => {
    const row = rows[0];
    const other = new ServedModel({
      ...base,
      async open(role, graph) {
        const { graphs } = readManifest(runs.get(labelOf(row))!);
        const file = readFileSync(`${runs.get(labelOf(row))}/${graphs[role]!.file}`);
        expect(Buffer.from(graph).equals(file)).toBe(true);
        return base.open(role, graph);
      },
    });
    await other.loadAdapter('a', readAdapterFolder(`${runs.get(labelOf(row))}/adapter`));
    await other.release();
  });
});

describe('sessions and image states', () => {
  const golden = (name: string) =>
    readAdapterFolder(new URL(`../../oracles/peft/${name}`, import.meta.url).pathname);
  const textOnly = () => {
    const { modules, tensors, ...rest } = golden('golden');
    const text = [...tensors].filter(([name]) => !name.startsWith('visual_encoder.'));
    return {
      ...rest,
      modules: { ...modules, visual_encoder: { method: 'frozen' as const } },
      tensors: new Map(text),
    };
  };

  /** A golden base that counts the images its encoders see. */
  function counting() {
    const base = goldenBase();
    const seen: number[] = [];
    const open: typeof base.open = async (role, graph) => {
      const session = await base.open(role, graph);
      if (role !== 'imageEncoder') return session;
      const run: typeof session.run = (feeds, outputs) => {
        seen.push(feeds.pixel_values!.dims[0]!);
        return session.run(feeds, outputs);
      };
      return { ...session, run };
    };
    return { base, seen, model: new ServedModel({ ...base, open }) };
  }

  test('an image is encoded once for all adapters that leave the image encoder alone', async () => {
    const { model, seen } = counting();
    await model.loadAdapter('base', noAdapter);
    await model.loadAdapter('text', textOnly());
    await model.loadAdapter('all', golden('golden'));
    const [base, text] = [
      await goldenBeams(model.answerer('base')),
      await goldenBeams(model.answerer('text')),
    ];
    expect(seen).toEqual([4]);
    const all = await goldenBeams(model.answerer('all'));
    expect(seen).toEqual([4, 4]);
    expect(base).not.toEqual(text);
    expect(text).not.toEqual(all);
    expect(await goldenBeams(model.answerer('text'))).toEqual(text);
    expect(seen).toEqual([4, 4]);
    // the same sites, other numbers: the session is shared, the states are not
    const { tensors, ...rest } = golden('golden');
    const doubled = [...tensors].map(([n, t]) => [n, { ...t, data: t.data.map((v) => 2 * v) }] as const);
    const { newSessions } = await model.loadAdapter('other', { ...rest, tensors: new Map(doubled) });
    expect(newSessions).toBe(0);
    expect(await goldenBeams(model.answerer('other'))).not.toEqual(all);
    expect(seen).toEqual([4, 4, 4]);
    expect(await goldenBeams(model.answerer('all'))).toEqual(all);
    await model.release();
  });

  test('a session is closed with the last adapter that uses it, and a label may be used again', async () => {
    const { model, base } = counting();
    await model.loadAdapter('a', textOnly());
    await model.loadAdapter('b', textOnly());
    expect(base.opened).toHaveLength(3);
    await model.loadAdapter('a', golden('golden-ia3'));
    expect(base.opened).toHaveLength(6);
    expect(base.released).toHaveLength(0);
    await model.unloadAdapter('b');
    expect(base.released.sort()).toEqual(['answerDecoder', 'imageEncoder', 'questionEncoder']);
    expect(model.labels).toEqual(['a']);
    await model.release();
    expect(base.released).toHaveLength(6);
    expect(() => model.answerer('a')).toThrow('no adapter a');
  });

  test('an adapter that does not fit leaves everything as it was', async () => {
    const { model, base } = counting();
    await model.loadAdapter('a', textOnly());
    const { tensors, ...rest } = golden('golden');
    const damaged = { ...rest, tensors: new Map([...tensors].slice(1)) };
    await expect(model.loadAdapter('a', damaged, 'folder')).rejects.toThrow(
      /no tensor .*\n {2}where: folder/,
    );
    expect(base.opened).toHaveLength(3);
    expect(model.labels).toEqual(['a']);
    await model.release();
    const failing = new ServedModel({ ...base, open: () => Promise.reject(new Error('no memory')) });
    await expect(failing.loadAdapter('a', noAdapter)).rejects.toThrow('no memory');
    expect(failing.labels).toEqual([]);
  });

  test('the same in WebAssembly, from bytes alone', async () => {
    const data = new Uint8Array(readFileSync(weightsFile));
    const base = goldenBase();
    const web = new ServedModel({
      ...base,
      open: (_role, graph) =>
        openWebSession(graph, { externalData: [{ path: basename(weightsFile), data }] }),
    });
    const native = new ServedModel(base);
    for (const model of [web, native]) await model.loadAdapter('all', golden('golden'));
    expectSameBeams(await goldenBeams(web.answerer('all')), await goldenBeams(native.answerer('all')), 1e-4);
    const { image, ids } = goldenQuestions[2]!;
    const alone = [web, native].map((model) => model.answer('all', goldenImages[image]!, ids, { beams: 2 }));
    const [first, second] = await Promise.all(alone);
    expect(first!).toHaveLength(2);
    expectSameBeams([first!], [second!], 1e-4);
    await web.release();
    await native.release();
  });
});
