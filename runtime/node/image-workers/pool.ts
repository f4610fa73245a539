/** @file Threads that prepare images while ONNX Runtime keeps the main thread busy. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { packageRoot } from '../../../datasets/package-root.js';
import { FileError } from '../../../graph-builder/errors.js';
import { type ImageForm, type Planes, pixelValuesOf, readPlanes } from './prepare.js';
import type { ImageReply, ImageRequest } from './worker.js';

export interface Prepared {
  readonly read: Planes | undefined;
  readonly values: Float32Array | undefined;
}

export type Wish = Omit<ImageRequest, 'id'>;

/** Where images are prepared: on threads, or here. */
export interface ImagePreparer {
  prepare(wish: Wish): Promise<Prepared>;
  close(): Promise<void>;
}

/** Prepares in this thread. */
export const preparerHere = (form: ImageForm): ImagePreparer => ({
  async prepare({ path, planes, values, change }) {
    const read = planes ? undefined : await readPlanes(path!, form.side);
    return { read, values: values ? pixelValuesOf(planes ?? read!.planes, form, change) : undefined };
  },
  close: async () => {},
});

interface Waiting {
  readonly resolve: (prepared: Prepared) => void;
  readonly reject: (error: Error) => void;
}

/** One thread. It does not keep the process alive but while it has work. */
class ImageWorker {
  private readonly thread: Worker;
  private readonly waiting = new Map<number, Waiting>();

  constructor(form: ImageForm) {
    // compiled code, also where the sources run as they are
    const file = join(packageRoot(), '.build', 'runtime', 'node', 'image-workers', 'worker.js');
    this.thread = new Worker(file, { workerData: form });
    this.thread.unref();
    this.thread.on('message', (reply: ImageReply) => this.onReply(reply));
    this.thread.on('error', (error: Error) => this.failAll(error));
    this.thread.on('exit', () => this.failAll(new Error('internal: an image thread ended')));
  }

  get load(): number {
    return this.waiting.size;
  }

  ask(request: ImageRequest): Promise<Prepared> {
    if (this.waiting.size === 0) this.thread.ref();
    return new Promise((resolve, reject) => {
      this.waiting.set(request.id, { resolve, reject });
      this.thread.postMessage(request);
    });
  }

  close(): Promise<number> {
    // a late reply would let go of the thread, and with nothing else to do the process would end before its end is told
    this.thread.removeAllListeners('message');
    return this.thread.terminate();
  }

  private onReply(reply: ImageReply): void {
    const { resolve, reject } = this.waiting.get(reply.id)!;
    this.waiting.delete(reply.id);
    if (this.waiting.size === 0) this.thread.unref();
    if (reply.type === 'done') resolve(reply);
    else if (reply.type === 'failed') reject(new FileError(reply.what, reply.where, reply.remedy));
    else reject(new Error(reply.stack));
  }

  private failAll(error: Error): void {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

/** Several threads; the one with the least to do gets the next image. They start with the first image. */
export function preparerOnThreads(form: ImageForm, count: number): ImagePreparer {
  let threads: ImageWorker[] = [];
  let requests = 0;
  return {
    prepare(wish) {
      if (threads.length === 0) threads = Array.from({ length: count }, () => new ImageWorker(form));
      const least = threads.reduce((a, b) => (b.load < a.load ? b : a));
      return least.ask({ id: requests++, ...wish });
    },
    async close() {
      const ending = threads;
      threads = [];
      await Promise.all(ending.map((thread) => thread.close()));
    },
  };
}
