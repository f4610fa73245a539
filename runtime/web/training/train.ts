/** @file Fine-tuning as one call. */
import { UserError } from '../../../graph-builder/errors.js';
import type { Model } from '../model.js';
import { adapterZip } from './adapter-zip.js';
import { type TuneOptions, tuneDefaults } from './defaults.js';
import { readTable, type TableRow } from './table.js';
import { bestValues, firstCheckpoint, type TuneEvent, Tuning } from './tuning.js';

export interface TrainRequest {
  /** CSV or JSON with image, question and answer, or its rows */
  readonly table: File | readonly TableRow[];
  /** files whose names the table gives */
  readonly images: readonly File[];
  /** default: {@link tuneDefaults} */
  readonly options?: Partial<TuneOptions>;
  /** of the adapter that comes out; default 'trained' */
  readonly name?: string;
  readonly onEvent?: (event: TuneEvent) => void;
  /** ends the training after the current step; what was learned is kept */
  readonly signal?: AbortSignal;
}

export interface Trained {
  /** {@link Model.answer} takes it as `adapter` */
  readonly adapter: string;
  /** updates made */
  readonly steps: number;
  /** of the best evaluation, which the adapter is; undefined without validation questions */
  readonly accuracy: number | undefined;
  /** PEFT folders, which Node and Hugging Face PEFT read */
  readonly zip: Uint8Array<ArrayBuffer>;
}

/** The rows' images out of the chosen files, at the model's size. @throws {UserError} naming one that is missing. */
export async function readPlanes(
  model: Model,
  rows: readonly TableRow[],
  images: readonly File[],
  onImage: (done: number, total: number) => void = () => {},
): Promise<Map<string, Uint8Array>> {
  const files = new Map(images.map((file) => [file.name, file]));
  const wanted = [...new Set(rows.map((row) => row.imageId))];
  const planes = new Map<string, Uint8Array>();
  for (const id of wanted) {
    const file = files.get(id);
    if (!file)
      throw new UserError(
        `no image ${id}`,
        'folder of images',
        'choose the folder that holds it, or delete its rows',
      );
    planes.set(id, await model.planesOf(file));
    onImage(planes.size, wanted.length);
  }
  return planes;
}

/** {@link Model.train} */
export async function train(model: Model, request: TrainRequest): Promise<Trained> {
  const { table, images, options, name = 'trained', onEvent, signal } = request;
  const rows = table instanceof File ? readTable(await table.text(), table.name) : table;
  const planes = await readPlanes(model, rows, images);
  const job = { rows, planes, options: { ...tuneDefaults, ...options } };
  const tuning = new Tuning(model, job, firstCheckpoint(await model.trained()), onEvent);
  try {
    await tuning.open();
    while (!tuning.isOver && !signal?.aborted) await tuning.step();
  } finally {
    await tuning.release();
  }
  const checkpoint = tuning.checkpoint();
  const values = bestValues(checkpoint);
  model.setAdapter(name, values);
  return {
    adapter: name,
    steps: checkpoint.batches,
    accuracy: checkpoint.best?.accuracy,
    zip: adapterZip(model.manifest, values),
  };
}
