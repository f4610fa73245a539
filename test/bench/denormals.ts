/** @file Steps whose gradients are 1e-40 beside normal ones. A program of its own: `denormals.js node|wasm`. */
import { countParameters } from '../../graph-builder/variant/variant.js';
import type { Feeds, Session } from '../../runtime/core/session.js';
import { INITIAL_LOSS_SCALE } from '../../runtime/core/trainer.js';
import { openSession as openWeb } from '../../runtime/web/ort.js';
import { alternate } from './measure.js';
import { modelFiles, openGraph, WEIGHTS_FILE } from './sessions.js';
import type { Row } from './table.js';
import { TimedTrainer, tinyBatch, tinyGraph } from './tiny-step.js';

const BATCH = 4;
/** of float32: the labels' weights stay normal, what they are multiplied by makes the gradients denormal */
const SMALLEST_NORMAL = 2 ** -126;
/** Denormal numbers take minutes where nothing flushes them. */
const UNRESCUED_REPEATS = 1;

/** The batch with its loss, and so its gradients, about 1e-38 times as large. */
function shrunk(feeds: Feeds): Feeds {
  const { data, dims } = feeds.label_weights!;
  return {
    ...feeds,
    label_weights: { data: (data as Float32Array).map((w) => w && SMALLEST_NORMAL), dims },
  };
}

/** Normal and denormal step times with a loss scale, on one provider. */
async function compare(provider: string, session: Session, lossScale: number, repeats: number): Promise<Row> {
  const graph = tinyGraph('lora-r8', 'T/T/P');
  const feeds = tinyBatch(BATCH);
  const small = shrunk(feeds);
  const trainer = () => new TimedTrainer(graph, session, lossScale);
  const [normal, denormal] = [trainer(), trainer()];
  // root mean square of the gradients, in double precision: its float32 form would be 0 on this thread
  const [weight] = feeds.label_weights!.data as Float32Array;
  const size = countParameters(graph).trainable;
  const gradient = ((await trainer().step(feeds)) / Math.sqrt(size)) * (SMALLEST_NORMAL / weight!);
  const times = await alternate(
    { normal: () => normal.step(feeds), denormal: () => denormal.step(small) },
    repeats,
  );
  return {
    provider,
    'loss scale': lossScale === 1 ? '1' : `2^${Math.log2(lossScale)}`,
    'gradient (rms)': gradient.toExponential(0),
    'normal ms': times.normal.medianMs,
    'denormal ms': times.denormal.medianMs,
    ratio: times.denormal.medianMs / times.normal.medianMs,
  };
}

async function webSession(): Promise<Session> {
  const { model, weights } = modelFiles(tinyGraph('lora-r8', 'T/T/P'));
  return openWeb(model, { externalData: [{ path: WEIGHTS_FILE, data: weights }] });
}

/** Rows of one provider. onnxruntime-node flushes denormals for its whole process: wasm needs another one. */
async function denormals(provider: string, repeats: number): Promise<Row[]> {
  const session = provider === 'wasm' ? await webSession() : await openGraph(tinyGraph('lora-r8', 'T/T/P'));
  const rescued = await compare(provider, session, INITIAL_LOSS_SCALE, repeats);
  const plain = await compare(provider, session, 1, provider === 'wasm' ? UNRESCUED_REPEATS : repeats);
  await session.release();
  return [rescued, plain];
}

const [provider = 'node', repeats = '5'] = process.argv.slice(2);
process.send?.(await denormals(provider, Number(repeats)));
process.disconnect?.();
