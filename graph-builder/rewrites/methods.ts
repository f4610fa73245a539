/** @file All adapter methods. A new one is a file and a line here. */
import type { AdapterMethod, AdapterSettings } from './adapter-method.js';
import { ia3 } from './ia3.js';
import { lora } from './lora.js';
import { prefix, ptuningV2 } from './prefix.js';

/** By the `method` of their settings. */
export const methods = { lora, ia3, prefix, ptv2: ptuningV2 } as const;

type SettingsOf<M> = M extends AdapterMethod<infer S> ? S : never;
/** The settings of any method. */
export type AnyAdapter = SettingsOf<(typeof methods)[keyof typeof methods]>;

/** The method of some settings, their types forgotten. */
export const methodOf = ({ method }: Pick<AnyAdapter, 'method'>): AdapterMethod<AdapterSettings> =>
  methods[method] as unknown as AdapterMethod<AdapterSettings>;
