/** @file Safetensors files as sources. */
import { withSafetensors } from '../safetensors-file.js';
import { ByteFile } from './byte-file.js';
import type { SourceTensor, TensorSource } from './source.js';

/** @throws {FileError} when the file is missing or damaged. */
export function openSafetensors(path: string): TensorSource {
  const header = withSafetensors(path, (file) => file.header);
  const file = ByteFile.open(path);
  const tensors = [...header.tensors].map(([name, { dtype, shape, offset, length }]) => {
    const tensor: SourceTensor = { name, dtype, shape, pieces: () => file.pieces(offset, length) };
    return [name, tensor] as const;
  });
  return {
    path,
    format: 'safetensors',
    files: [path],
    tensors: new Map(tensors),
    metadata: header.metadata,
    close: () => file.close(),
  };
}
