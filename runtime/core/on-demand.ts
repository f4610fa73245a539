/** @file A session that is there only while it is needed. */
import type { Feeds, Session, Tensor } from './session.js';

/** Opens its graph at the first run, and again at the first one after `release`. Runs are not to overlap. */
export class OnDemandSession implements Pick<Session, 'run' | 'release'> {
  private session: Session | undefined;

  constructor(private readonly open: () => Promise<Session>) {}

  async run(feeds: Feeds, outputs?: readonly string[]): Promise<Record<string, Tensor>> {
    this.session ??= await this.open();
    return this.session.run(feeds, outputs);
  }

  async release(): Promise<void> {
    const { session } = this;
    this.session = undefined;
    await session?.release();
  }
}
