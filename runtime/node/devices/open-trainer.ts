/** @file The trainer of a device: tensors on the host (CPU, CUDA) or on the device (WebGPU). */
import { dirname, join } from 'node:path';
import type { Graph } from '../../../graph-builder/ir/types.js';
import {
  adamWGraph,
  copyGraph,
  gradientName,
  gradientSumGraph,
  momentNames,
  nextName,
  type OptimizedShape,
} from '../../../graph-builder/models/optimizer.js';
import { writeOnnx } from '../../../graph-builder/onnx/write.js';
import {
  type GraphRole,
  graphFiles,
  type TrainableRun,
  weightsPath,
} from '../../../training-artifacts/graphs/manifest.js';
import type { DeviceSession } from '../../core/device-session.js';
import { DeviceTrainer, type StepTrainer } from '../../core/device-trainer.js';
import { moveToKernels } from '../../core/kernels/resident.js';
import { type TrainableTensor, Trainer, type TrainerOptions, type TrainerState } from '../../core/trainer.js';
import { type DeviceOptions, openDeviceSession, openSession } from '../ort.js';
import type { Device } from './device.js';
import { DeviceError } from './provider-error.js';

export interface TrainerJob {
  readonly run: string;
  readonly manifest: TrainableRun;
  /** the training graph that the batches are for */
  readonly role: GraphRole;
  readonly device: Device;
  readonly threads?: number;
  /** false: weights stay mapped from their file; default: packed copies */
  readonly prepacking?: boolean;
  /** the arrays of these may be replaced */
  readonly tensors: ReadonlyMap<string, TrainableTensor>;
  readonly options: TrainerOptions;
  readonly state: TrainerState;
}

export interface OpenedTrainer {
  readonly trainer: StepTrainer;
  release(): Promise<void>;
}

/** A graph without weights, as bytes. */
const inMemory = (graph: Graph): Uint8Array =>
  writeOnnx(graph, {
    name: 'optimizer',
    weights: (p) => {
      throw new Error(`internal: ${p.name} is a weight of an optimizer graph`);
    },
  });

/** The optimizer of a run, as `optimizer_model.onnx` holds it. */
export const optimizerModel = (tensors: readonly OptimizedShape[], options: TrainerOptions): Uint8Array =>
  inMemory(adamWGraph(tensors, options));

const outputsOf = ({ name }: OptimizedShape): string[] => [name, ...momentNames(name)].map(nextName);

/** Opens a session at its first use. */
class Later {
  private opened: Promise<DeviceSession> | undefined;

  constructor(private readonly open: () => Promise<DeviceSession>) {}

  readonly get = (): Promise<DeviceSession> => {
    this.opened ??= this.open();
    return this.opened;
  };

  async release(): Promise<void> {
    await (await this.opened)?.release();
  }
}

/** A trainer whose tensors stay on the device. On the CPU, which has no other memory, it is good for tests. */
export async function openDeviceTrainer(
  job: Omit<TrainerJob, 'run' | 'manifest' | 'role' | 'threads'>,
  openTraining: (onDevice: readonly string[]) => Promise<DeviceSession>,
): Promise<OpenedTrainer> {
  const { device, tensors, options, state } = job;
  const shapes = [...tensors].map(([name, { shape }]): OptimizedShape => ({ name, shape }));
  const gradients = shapes.map(({ name }) => gradientName(name));
  const open = (model: Uint8Array, onDevice: readonly string[] = []) =>
    openDeviceSession(model, { device, cpuFallback: false, onDevice });
  const training = await openTraining(gradients);
  const optimizer = await open(optimizerModel(shapes, options), shapes.flatMap(outputsOf));
  const sum = new Later(() => open(inMemory(gradientSumGraph(shapes)), gradients.map(nextName)));
  const copy = new Later(() => open(inMemory(copyGraph(shapes))));
  const sessions = { training, optimizer, sum: sum.get, copy: copy.get };
  const trainer = new DeviceTrainer(sessions, tensors, options, state);
  const release = async () => {
    trainer.release();
    for (const session of [training, optimizer, sum, copy]) await session.release();
  };
  return { trainer, release };
}

/** @throws {DeviceError} for 8-bit products that the device would leave to the CPU, with copies at each. */
function checkForm({ frozenCompute }: TrainableRun, device: Device): void {
  if (device === 'cpu' || frozenCompute?.form !== 'dynamic') return;
  throw new DeviceError(
    'dynamic 8-bit products run on the CPU only',
    `--device ${device}`,
    'build the run with --frozen-compute int8-weight-only, or use --device cpu',
  );
}

/**
 * Opens the training graph of a run on a device.
 *
 * CUDA has no device tensors in onnxruntime-node: trained tensors and gradients are copied at each step
 * (`copiedBytes`), frozen weights stay on the card.
 *
 * @throws {DeviceError} when the device does not start; {FileError} for a damaged graph.
 */
export async function openTrainer(job: TrainerJob): Promise<OpenedTrainer> {
  const { run, manifest, role, device, threads, prepacking = true, tensors, options, state } = job;
  checkForm(manifest, device);
  const path = join(run, graphFiles[role]);
  const open: DeviceOptions = {
    device,
    weightsFolder: dirname(weightsPath(run, manifest)),
    prepacking,
    ...(threads && { threads }),
  };
  if (device === 'webgpu')
    return openDeviceTrainer(job, (onDevice) => openDeviceSession(path, { ...open, onDevice }));
  const session = await openSession(path, open);
  moveToKernels(tensors.values());
  return { trainer: new Trainer(session, tensors, options, state), release: () => session.release() };
}
