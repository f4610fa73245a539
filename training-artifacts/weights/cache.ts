/** @file The user's cache of expanded base weights. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** `$MILE_ORT_CACHE`, else `$XDG_CACHE_HOME/mile-ort`, else `~/.cache/mile-ort`. */
export function cacheFolder(): string {
  const { MILE_ORT_CACHE, XDG_CACHE_HOME } = process.env;
  return MILE_ORT_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'mile-ort');
}
