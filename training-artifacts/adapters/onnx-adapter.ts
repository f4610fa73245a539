/**
 * @file ONNX Runtime's own adapter files: `.onnx_adapter`, what `LoraAdapter` and `RunOptions.add_active_adapter` take.
 *
 * Source: onnxruntime/lora/adapter_format/adapter_schema.fbs, format version 1, ONNX Runtime 1.20 and later.
 */
import { Builder, type Offset } from 'flatbuffers';
import { UserError } from '../../graph-builder/errors.js';
import { onnxTypes } from '../../graph-builder/ir/dtypes.js';
import type { AdapterTensor, AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import { addDims, addVector, MAX_BYTES } from '../ort-training/checkpoint-format.js';

const IDENTIFIER = 'TORT';
const FORMAT_VERSION = 1;
/** of the adapter and of the model it is for: free for users; the runtime reads neither */
const OWN_VERSION = 1;

/** The runtime uses the numbers where they lie: they start at multiples of this. */
const ALIGNMENT = 8;

const parameterSlots = { name: 0, dims: 1, dataType: 2, rawData: 3 } as const;
const adapterSlots = { formatVersion: 0, adapterVersion: 1, modelVersion: 2, parameters: 3 } as const;

function addParameter(b: Builder, name: string, { shape, data }: AdapterTensor): Offset {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  b.prep(ALIGNMENT, bytes.length);
  const rawData = b.createByteVector(bytes);
  const dims = addDims(b, shape);
  const label = b.createString(name);
  b.startObject(4);
  b.addFieldOffset(parameterSlots.name, label, 0);
  b.addFieldOffset(parameterSlots.dims, dims, 0);
  b.addFieldInt32(parameterSlots.dataType, onnxTypes.float32, 0);
  b.addFieldOffset(parameterSlots.rawData, rawData, 0);
  return b.endObject();
}

/**
 * The bytes of an adapter file. A session refuses names that are no inputs of its graph: a graph, a file.
 *
 * @param tensors as the graph takes them: alpha/rank is in lora_B
 * @throws {UserError} when it would be larger than a flatbuffer can be.
 */
export function encodeOnnxAdapter(tensors: AdapterTensors): Uint8Array {
  const room = [...tensors].reduce(
    (n, [name, { shape, data }]) => n + data.byteLength + 4 * name.length + 8 * shape.length + 64,
    1024,
  );
  if (room > MAX_BYTES) {
    throw new UserError(
      `the adapter needs ${(room / 2 ** 30).toFixed(1)} GiB, an .onnx_adapter holds 2 GiB`,
      '--format onnx-adapter',
      'export a placement with fewer T modules, or --merge it',
    );
  }
  const b = new Builder(room);
  const parameters = addVector(
    b,
    [...tensors].map(([name, tensor]) => addParameter(b, name, tensor)),
  );
  b.startObject(4);
  b.addFieldInt32(adapterSlots.formatVersion, FORMAT_VERSION, 0);
  b.addFieldInt32(adapterSlots.adapterVersion, OWN_VERSION, 0);
  b.addFieldInt32(adapterSlots.modelVersion, OWN_VERSION, 0);
  b.addFieldOffset(adapterSlots.parameters, parameters, 0);
  b.finish(b.endObject(), IDENTIFIER);
  return b.asUint8Array();
}
