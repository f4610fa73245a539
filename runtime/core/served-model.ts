/** @file A base with any number of adapters, ready to answer: in Node and in a browser. */
import type { MissConfig } from '../../graph-builder/models/config.js';
import type { Variant } from '../../graph-builder/variant/variant.js';
import { fitAdapter } from '../../training-artifacts/adapters/fit-adapter.js';
import type { Adapter } from '../../training-artifacts/adapters/stored-adapter.js';
import type { StoredWeights } from '../../training-artifacts/graphs/model-bytes.js';
import { type ServingRole, servingModel } from '../../training-artifacts/graphs/serving.js';
import { Answerer, type AnswerOptions, type InferenceSessions } from './answerer.js';
import type { Beam } from './beam-search.js';
import { ImageStates } from './image-states.js';
import { servedFeeds } from './served-feeds.js';
import type { Session, Tensor } from './session.js';

/** What a served model stands on. */
export interface ServedBase {
  readonly config: MissConfig;
  /** where the base weights lie, for the graphs to name */
  readonly weights: StoredWeights;
  /** ids that answers start and end with; default: the tokenizer's */
  readonly special?: { readonly promptId: number; readonly endId: number };
  /** Opens a graph over the base weights, which all sessions may share. */
  open(role: ServingRole, graph: Uint8Array): Promise<Session>;
}

/** An open graph and the adapters that use it. */
interface Opened {
  readonly role: ServingRole;
  readonly graph: Uint8Array;
  readonly session: Promise<Session>;
  readonly users: Set<object>;
}

interface Loaded {
  readonly answerer: Answerer;
  readonly opened: readonly Opened[];
  /** stands for it among the graphs' users */
  readonly user: object;
}

export interface LoadedAdapter {
  readonly variant: Variant;
  /** graphs that no adapter before it had: 0 for other ranks of the same methods on the same sites */
  readonly newSessions: number;
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Answers with image states that adapters with the same image encoder share. */
class SharingAnswerer extends Answerer {
  constructor(
    private readonly states: ImageStates,
    /** the same object for adapters whose image states are the same */
    private readonly encoder: object,
    ...rest: ConstructorParameters<typeof Answerer>
  ) {
    super(...rest);
  }

  override encodeImages(images: readonly Float32Array[]): Promise<Tensor> {
    return this.states.of(this.encoder, images, (missing) => super.encodeImages(missing));
  }
}

/**
 * One base and several adapters at once, by label. Adapters are inputs of the graphs: one of the same methods on the
 * same sites as another (its rank may differ) needs no new session, others get their own over the same weights.
 *
 * @example
 * await model.loadAdapter('ct', parseAdapter(files, 'ct'));
 * await model.loadAdapter('base', noAdapter);
 * const [best] = await model.answer('ct', pixels, tokenizer.encodeQuestion('is there a mass?').ids);
 */
export class ServedModel {
  private readonly opened: Opened[] = [];
  private readonly loaded = new Map<string, Loaded>();
  private readonly states = new ImageStates();

  constructor(private readonly base: ServedBase) {}

  /** Labels of the adapters, in the order of loading. */
  get labels(): readonly string[] {
    return [...this.loaded.keys()];
  }

  /**
   * Loads an adapter under a label; one that has the label is replaced once the new one is ready.
   *
   * @param where what errors call it, e.g. its folder
   * @throws {FileError} when it was made for another base.
   */
  async loadAdapter(label: string, adapter: Adapter, where = label): Promise<LoadedAdapter> {
    const { config } = this.base;
    const variant = fitAdapter(adapter, config, where);
    const feeds = servedFeeds(adapter.tensors, variant, config.textHeads);
    const before = new Set(this.opened);
    const opened: Opened[] = [];
    const user = {};
    const use = async (role: ServingRole): Promise<Session> => {
      const one = this.use(role, variant, user);
      opened.push(one);
      return one.session;
    };
    try {
      const sessions: InferenceSessions = {
        imageEncoder: await use('imageEncoder'),
        questionEncoder: await use('questionEncoder'),
        answerDecoder: await use('answerDecoder'),
      };
      const adaptsImages = sessions.imageEncoder.inputNames.some((name) => name in feeds);
      // adapters that leave the image encoder alone share its states
      const encoder = adaptsImages ? feeds : opened[0]!;
      const { special } = this.base;
      const answerer = new SharingAnswerer(this.states, encoder, sessions, config, feeds, special);
      await this.unloadAdapter(label);
      this.loaded.set(label, { answerer, opened, user });
    } catch (error) {
      await this.leave(opened, user);
      throw error;
    }
    return { variant, newSessions: opened.filter((one) => !before.has(one)).length };
  }

  /** Forgets an adapter; sessions that no other one uses are closed. */
  async unloadAdapter(label: string): Promise<void> {
    const found = this.loaded.get(label);
    this.loaded.delete(label);
    if (found) await this.leave(found.opened, found.user);
  }

  /** Closes all. */
  async release(): Promise<void> {
    for (const label of this.labels) await this.unloadAdapter(label);
  }

  /** What answers with an adapter. Switching is choosing another label. */
  answerer(label: string): Answerer {
    const found = this.loaded.get(label);
    if (!found) throw new Error(`internal: no adapter ${label} is loaded`);
    return found.answerer;
  }

  /**
   * Beams of one question about one image, best first.
   *
   * @param pixels float32 [3, side, side], normalised; the same array again costs no second pass of the image encoder
   */
  async answer(
    label: string,
    pixels: Float32Array,
    questionIds: readonly number[],
    options?: AnswerOptions,
  ): Promise<Beam[]> {
    const answerer = this.answerer(label);
    const states = await answerer.encodeImages([pixels]);
    const [beams] = await answerer.answer(states, [{ image: 0, ids: questionIds }], options);
    return beams!;
  }

  /** The open graph that serves a variant, opened now if none does. */
  private use(role: ServingRole, variant: Variant, user: object): Opened {
    const graph = servingModel(role, this.base.config, variant, this.base.weights);
    const known = this.opened.find((one) => one.role === role && sameBytes(one.graph, graph));
    if (known) {
      known.users.add(user);
      return known;
    }
    const opened = { role, graph, session: this.base.open(role, graph), users: new Set([user]) };
    this.opened.push(opened);
    return opened;
  }

  private async leave(opened: readonly Opened[], user: object): Promise<void> {
    for (const one of opened) {
      one.users.delete(user);
      if (one.users.size > 0) continue;
      this.opened.splice(this.opened.indexOf(one), 1);
      const session = await one.session.catch(() => undefined);
      await session?.release();
    }
  }
}
