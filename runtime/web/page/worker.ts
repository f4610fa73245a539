/** @file The page's worker: everything that takes time happens here. */
import { expose, transfer } from 'comlink';
import { isDicom } from '../../../datasets/images/dicom/is-dicom.js';
import type { RgbImage } from '../../../datasets/images/resize.js';
import type { ServedRun } from '../../core/served-runs.js';
import { type Choice, chooseDevice, parseDevice } from '../choose-device.js';
import { setDicomCodecs } from '../decode-dicom.js';
import { decodeImage } from '../decode-image.js';
import { locateCodec } from '../dicom-codecs.js';
import { keptDownload } from '../download.js';
import { loadModel, type Model } from '../model.js';
import { setWasmFolder } from '../ort.js';
import { filesSource, httpSource } from '../run-source.js';
import type { Events, Explained, Opened, PageWorker, Question } from './protocol.js';
import { Tuner } from './tuner.js';

let base = '';
let wanted: ReturnType<typeof parseDevice> = 'auto';
const tuner = new Tuner();
const models = new Map<string, Promise<Model>>();
const images = new Map<number, RgbImage>();
/** Images at a model's size, by image and size. */
const planes = new Map<string, Promise<Uint8Array>>();

const opened = (run: string, model: Model): Opened => ({
  run,
  choice: model.device,
  adapters: model.adapterNames,
});

async function modelOf(run: string): Promise<Model> {
  const model = models.get(run);
  if (!model) throw new Error(`internal: ${run} is not open`);
  return model;
}

async function open(run: ServedRun, events: Events): Promise<Opened> {
  let model = models.get(run.name);
  if (!model) {
    model = loadModel(httpSource(new URL(run.path, base)), {
      device: wanted,
      onProgress: events,
      onNote: (note) => events({ stage: 'note', note }),
    });
    models.set(run.name, model);
    model.catch(() => models.delete(run.name)); // it may be tried again
  }
  return opened(run.name, await model);
}

function imageOf(imageId: number): RgbImage {
  const image = images.get(imageId);
  if (!image) throw new Error('internal: the image was dropped');
  return image;
}

/** The image at the model's size. */
function planesOf(model: Model, imageId: number): Promise<Uint8Array> {
  const key = `${imageId} ${model.manifest.config.imageSize}`;
  let resized = planes.get(key);
  if (!resized) {
    resized = model.planesOf(imageOf(imageId));
    planes.set(key, resized);
  }
  return resized;
}

async function ask({ run, adapter, imageId, question }: Question) {
  const model = await modelOf(run);
  return model.answerPlanes(await planesOf(model, imageId), question, { adapter });
}

async function explain({ run, adapter, imageId, question }: Question): Promise<Explained> {
  const model = await modelOf(run);
  const explained = await model.explainPlanes(await planesOf(model, imageId), question, { adapter });
  const { paintHeat } = await import('../explain.js');
  const { lost, lostAtRandom, p } = explained.deletion;
  const picture = await asPng(paintHeat(imageOf(imageId), explained));
  return { picture, lost, lostAtRandom, isChance: p > 0.05 || lost <= 0 };
}

const isDicomFile = async (file: Blob): Promise<boolean> => isDicom(new Uint8Array(await file.arrayBuffer()));

async function asPng({ data, width, height }: RgbImage): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = data[3 * i + c]!;
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext('2d')!.putImageData(pixels, 0, 0);
  return canvas.convertToBlob();
}

setDicomCodecs(locateCodec);

const worker: PageWorker = {
  async start(from, device): Promise<Choice> {
    base = from;
    setWasmFolder(new URL('ort/', base).href);
    wanted = parseDevice(device);
    return chooseDevice(wanted);
  },
  isKept: async (sha256) => (await keptDownload(sha256)) !== undefined,
  open,
  async hold(imageId, file) {
    const notes: string[] = [];
    const image = await decodeImage(file, { onNote: (note) => notes.push(note) });
    images.set(imageId, image);
    const { width, height } = image;
    return { width, height, notes, ...((await isDicomFile(file)) && { preview: await asPng(image) }) };
  },
  async drop(imageId) {
    images.delete(imageId);
    for (const key of planes.keys()) if (key.startsWith(`${imageId} `)) planes.delete(key);
  },
  ask,
  explain,
  async loadAdapter(run, name, files) {
    const model = await modelOf(run);
    await model.loadAdapter(name, filesSource(files));
    return opened(run, model);
  },
  keptTraining: () => tuner.kept(),
  prepareTraining: async (request, send) => tuner.prepare(await modelOf(request.run), request, send),
  train: async (run, send) => tuner.run(await modelOf(run), send),
  pauseTraining: () => tuner.pause(),
  discardTraining: () => tuner.discard(),
  async adapterZip(run) {
    const bytes = tuner.zip(await modelOf(run));
    return transfer(bytes, [bytes.buffer]);
  },
  async useTrained(run, name) {
    const model = await modelOf(run);
    tuner.use(model, name);
    return opened(run, model);
  },
};

expose(worker);
