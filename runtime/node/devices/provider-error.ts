/** @file Why a session could not be made, in words that say what to do. */
import { FileError, UserError } from '../../../graph-builder/errors.js';
import { cudaFacts, hasCudaProvider, INSTALL_CUDA } from './cuda-libraries.js';
import { type Device, isCuda } from './device.js';

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 300);

/** A provider did not start, or has no kernel for an operator. */
export class DeviceError extends UserError {}

function deviceError(message: string, device: Device, error: unknown): DeviceError | undefined {
  const make = (what: string, remedy: string) =>
    new DeviceError(what, `--device ${device}`, remedy, { cause: error });
  if (message.includes('fallback to CPU EP has been explicitly disabled'))
    return make(
      `an operator of the graph has no kernel on ${device}`,
      'allow the CPU to compute it (cpuFallback), or use --device cpu',
    );
  if (/WebGPU adapter|no available backend|WebGpuContext/.test(message))
    return make(
      'there is no WebGPU adapter',
      'install the driver of the graphics card and, on Linux, the Vulkan loader (libvulkan1); ort-doctor says what ' +
        'is there; or use --device cpu',
    );
  if (!isCuda(device) || !/cuda|shared library/i.test(message)) return undefined;
  if (!hasCudaProvider())
    return make('the CUDA provider of ONNX Runtime is not installed', `${INSTALL_CUDA} (Linux x64)`);
  const { missing } = cudaFacts();
  return make(
    `CUDA does not start: ${message}`,
    missing.length > 0 ? missing.join('; ') : 'ort-doctor says what is there; or use --device cpu',
  );
}

/** ONNX Runtime's messages name the file of a weight that does not fit; the rest is for developers. */
export function sessionError(error: unknown, where: string, device: Device): UserError {
  const message = firstLine(error);
  const ofDevice = device === 'cpu' ? undefined : deviceError(message, device, error);
  if (ofDevice) return ofDevice;
  const remedy = 'build the run again with build-graph';
  return new FileError(`cannot load the graph: ${message}`, where, remedy, { cause: error });
}
