/** @file A thread that decodes, changes and normalises images. It never touches ONNX Runtime. */
import { parentPort, workerData } from 'node:worker_threads';
import { UserError } from '../../../graph-builder/errors.js';
import { type Change, type ImageForm, type Planes, pixelValuesOf, readPlanes } from './prepare.js';

export interface ImageRequest {
  readonly id: number;
  /** the file, where its planes are not known yet */
  readonly path: string | undefined;
  readonly planes: Uint8Array<SharedArrayBuffer> | undefined;
  /** false: the planes are all that is wanted */
  readonly values: boolean;
  readonly change: Change | undefined;
}

export type ImageReply = { readonly id: number } & (
  | {
      readonly type: 'done';
      /** where the file was read */
      readonly read: Planes | undefined;
      readonly values: Float32Array<ArrayBuffer> | undefined;
    }
  | { readonly type: 'failed'; readonly what: string; readonly where: string; readonly remedy: string }
  | { readonly type: 'bug'; readonly stack: string }
);

const form = workerData as ImageForm;

async function answer({ id, path, planes, values, change }: ImageRequest): Promise<ImageReply> {
  try {
    const read = planes ? undefined : await readPlanes(path!, form.side);
    const shown = values ? pixelValuesOf(planes ?? read!.planes, form, change) : undefined;
    return { id, type: 'done', read, values: shown };
  } catch (error) {
    if (!(error instanceof UserError))
      return { id, type: 'bug', stack: (error as Error).stack ?? `${error}` };
    return { id, type: 'failed', what: error.what, where: error.where, remedy: error.remedy };
  }
}

parentPort?.on('message', async (request: ImageRequest) => {
  const reply = await answer(request);
  parentPort!.postMessage(reply, reply.type === 'done' && reply.values ? [reply.values.buffer] : []);
});
