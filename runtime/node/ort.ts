/** @file The one file that touches onnxruntime-node. */
import { env, InferenceSession, listSupportedBackends, Tensor as OrtTensor } from 'onnxruntime-node';
import type { DeviceSession } from '../core/device-session.js';
import { type ElementType, wrapDeviceSession } from '../core/ort-session.js';
import type { Session, Tensor } from '../core/session.js';
import { type Device, isCuda, providerOf } from './devices/device.js';
import { sessionError } from './devices/provider-error.js';

export interface OpenOptions {
  /** what computes; default: the CPU */
  readonly device?: Device;
  /** false: an operator without a kernel on the device is an error; default: the CPU computes it, with copies */
  readonly cpuFallback?: boolean;
  /** folder of the files that external weights name */
  readonly weightsFolder?: string;
  /** threads inside an operator; default: ONNX Runtime's own choice, the physical cores */
  readonly threads?: number;
  /** false: weights stay mapped from their file, shared by all sessions and processes; true: packed copies */
  readonly prepacking?: boolean;
  readonly profilePrefix?: string;
}

export interface DeviceOptions extends OpenOptions {
  /** outputs that stay on the device; CPU and CUDA have no such thing in onnxruntime-node and return all */
  readonly onDevice?: readonly string[];
}

/** e.g. '1.30.0' */
export const runtimeVersion = (): string => env.versions.node ?? env.versions.common;

/** Providers that onnxruntime-node knows; `bundled`: in the npm package itself. */
export const supportedBackends = (): readonly { readonly name: string; readonly bundled: boolean }[] =>
  listSupportedBackends();

// errors arrive as exceptions; what ONNX Runtime prints besides is for its developers
env.logLevel = 'fatal';

function sessionOptions(options: DeviceOptions): InferenceSession.SessionOptions {
  const { device = 'cpu', cpuFallback = true, weightsFolder, threads } = options;
  const { prepacking = true, profilePrefix, onDevice = [] } = options;
  const config = {
    // the first session of a process decides for all of them, whichever its device
    set_denormal_as_zero: '1',
    ...(prepacking ? {} : { disable_prepacking: '1' }),
    ...(cpuFallback || device === 'cpu' ? {} : { disable_cpu_ep_fallback: '1' }),
    ...(weightsFolder && { model_external_initializers_file_folder_path: weightsFolder }),
  };
  const locations = Object.fromEntries(onDevice.map((name) => [name, 'gpu-buffer' as const]));
  return {
    executionProviders: [providerOf(device)],
    logSeverityLevel: 4,
    // a plan's one block comes on top of what the first run took from the arena: more memory, and no faster
    enableMemPattern: false,
    extra: { session: config },
    ...(device === 'webgpu' && onDevice.length > 0 && { preferredOutputLocation: locations }),
    ...(threads && { intraOpNumThreads: threads }),
    ...(profilePrefix && { enableProfiling: true, profileFilePrefix: profilePrefix }),
  };
}

/**
 * Loads a graph from its file, so that weights are mapped and not copied, or from its bytes.
 *
 * Denormal numbers are flushed to zero (a factor of 100 on gradients of a frozen-heavy model otherwise); this
 * holds for the whole process and for JavaScript's arithmetic on this thread.
 *
 * @throws {FileError} when ONNX Runtime refuses the graph or its weights; {DeviceError} when the device does not
 * start or, with `cpuFallback: false`, lacks an operator.
 */
export async function openDeviceSession(
  model: string | Uint8Array,
  options: DeviceOptions = {},
): Promise<DeviceSession> {
  // else products of float32 would have 10 bits; read by NVIDIA's libraries, which have no option in onnxruntime-node
  if (options.device && isCuda(options.device)) process.env.NVIDIA_TF32_OVERRIDE ??= '0';
  let session: InferenceSession;
  try {
    const settings = sessionOptions(options);
    session = await (typeof model === 'string'
      ? InferenceSession.create(model, settings)
      : InferenceSession.create(model, settings));
  } catch (error) {
    const where = typeof model === 'string' ? model : 'a graph in memory';
    throw sessionError(error, where, options.device ?? 'cpu');
  }
  const makeTensor = (type: ElementType, { data, dims }: Tensor) =>
    new OrtTensor(type, data as Float32Array, dims);
  return wrapDeviceSession(session, makeTensor, () => options.profilePrefix && session.endProfiling());
}

/** {@link openDeviceSession} with all outputs on the host. */
export const openSession = (model: string | Uint8Array, options: OpenOptions = {}): Promise<Session> =>
  openDeviceSession(model, options) as Promise<Session>;
