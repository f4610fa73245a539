/** @file The peer's fastest way at float32: each is tried for a few steps. */
import { openPeer, type Setting, type Settings } from './programs.js';

export interface ChosenSetting {
  readonly setting: Setting;
  /** seconds of each that was tried, or why there is none */
  readonly tried: Readonly<Record<string, number | string>>;
}

const COUNTED = 2;
/** A setting that is so much slower than the best is not measured to the end. */
const HOPELESS = 1.5;
/** For a setting to be opened, compiled and measured. */
const MOST_SECONDS = 150;

/** @throws {Error} when `work` takes too long. */
async function within<T>(seconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not ready after ${seconds} s`)), 1000 * seconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Least seconds of some steps after the first, which warms up (and compiles). */
async function tryOnce(
  command: Readonly<Record<string, unknown>>,
  settings: Settings,
  best: number,
): Promise<number> {
  const peer = openPeer(settings);
  const measure = async (): Promise<number> => {
    await peer.ask(command);
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i <= COUNTED && !(least > HOPELESS * best && i > 1); i++) {
      const { ms } = (await peer.ask({ do: 'run' })) as { ms: number };
      if (i > 0) least = Math.min(least, ms / 1000);
    }
    return least;
  };
  try {
    return await within(MOST_SECONDS, measure());
  } finally {
    await peer.close();
  }
}

/** Chooses how PyTorch runs, once for each kind of work of the peer. */
export class SettingChooser {
  private readonly chosen = new Map<string, ChosenSetting>();

  constructor(private readonly settings: Settings) {}

  /** @param open what the peer is told to open, but for the setting */
  async choose(
    work: string,
    open: Readonly<Record<string, unknown>>,
    names: readonly Setting[] = ['sdpa', 'eager', 'channels-last', 'compile'],
  ): Promise<ChosenSetting> {
    const { setting } = this.settings;
    if (setting !== 'auto') return { setting, tried: {} };
    const known = this.chosen.get(work);
    if (known) return known;
    const tried: Record<string, number | string> = {};
    let best: { setting: Setting; seconds: number } | undefined;
    for (const name of names) {
      try {
        const seconds = await tryOnce({ ...open, setting: name }, this.settings, best?.seconds ?? 1e9);
        tried[name] = seconds;
        if (!best || seconds < best.seconds) best = { setting: name, seconds };
      } catch (error) {
        tried[name] = `failed: ${(error as Error).message}`;
      }
    }
    if (!best) throw new Error('the peer runs with none of its settings: its messages stand above');
    const result = { setting: best.setting, tried };
    this.chosen.set(work, result);
    return result;
  }
}
