/** @file Devices by name, and the provider of ONNX Runtime that each one is. */
import { UserError } from '../../../graph-builder/errors.js';

/** 'cuda' is the first card. */
export type Device = 'cpu' | 'webgpu' | 'cuda' | `cuda:${number}`;

export const isCuda = (device: Device): boolean => device.startsWith('cuda');

/**
 * @example parseDevice('cuda:1') // 'cuda:1'
 * @throws {UserError} with the names that there are.
 */
export function parseDevice(text: string, flag = '--device'): Device | 'auto' {
  const name = text.toLowerCase();
  if (/^(auto|cpu|webgpu|cuda(:\d{1,2})?)$/.test(name)) return name as Device | 'auto';
  throw new UserError(
    `there is no device '${text}'`,
    flag,
    'choose from auto, cpu, webgpu, cuda, cuda:1 (the second card)',
  );
}

export type Provider =
  | 'cpu'
  | { readonly name: 'webgpu' }
  | { readonly name: 'cuda'; readonly deviceId: number };

/** What onnxruntime-node takes: CUDA knows a number of the card and nothing else. */
export function providerOf(device: Device): Provider {
  if (device === 'cpu') return 'cpu';
  if (device === 'webgpu') return { name: 'webgpu' };
  return { name: 'cuda', deviceId: Number(device.split(':')[1] ?? 0) };
}
