/** @file Beam search over a step function. Knows no graph: rows in, best next tokens out. */

/** Best next tokens of each row, best first. */
export interface NextTokens {
  /** tokens a row */
  readonly width: number;
  /** [rows · width] */
  readonly ids: ArrayLike<number | bigint>;
  /** log probabilities [rows · width] */
  readonly logProbs: ArrayLike<number>;
}

/** A row of the next step: the token that it appends, the row of the last step and the question it belongs to. */
export interface BeamRow {
  readonly token: number;
  readonly parent: number;
  readonly question: number;
}

export interface Beam {
  /** tokens after the prompt, the end token included */
  readonly ids: readonly number[];
  /** Σ log p */
  readonly logProb: number;
  /** Σ log p / (number of tokens ^ length penalty): what beams are ordered by */
  readonly score: number;
}

export interface BeamSearchOptions {
  readonly beams: number;
  /** prompt token included */
  readonly maxLength: number;
  readonly lengthPenalty: number;
  readonly promptId: number;
  readonly endId: number;
}

/** Source: the reference's generation settings. */
export const beamDefaults = { beams: 3, maxLength: 10, lengthPenalty: 1 } as const;

interface Running {
  readonly ids: readonly number[];
  readonly logProb: number;
  readonly row: number;
}

/** One question's search. */
class Search {
  running: Running[];
  finished: Beam[] = [];
  done = false;

  constructor(
    private readonly options: BeamSearchOptions,
    row: number,
  ) {
    this.running = [{ ids: [], logProb: 0, row }];
  }

  /** Takes the best 2·beams continuations: finished ones among the first `beams` are kept, others run on. */
  advance(next: NextTokens): void {
    const { beams, maxLength, endId, lengthPenalty } = this.options;
    const candidates = this.running
      .flatMap((beam) => continuations(beam, next, 2 * beams))
      .sort((a, b) => b.logProb - a.logProb)
      .slice(0, 2 * beams);
    const length = candidates[0]!.ids.length;
    const atEnd = length + 1 >= maxLength;
    candidates.forEach((c, rank) => {
      if (rank < beams && (atEnd || c.ids.at(-1) === endId)) {
        this.finished.push({ ids: c.ids, logProb: c.logProb, score: c.logProb / length ** lengthPenalty });
      }
    });
    this.finished = this.finished.sort((a, b) => b.score - a.score).slice(0, beams);
    this.running = candidates.filter((c) => c.ids.at(-1) !== endId).slice(0, beams);
    const best = this.running[0] ? this.running[0].logProb / length ** lengthPenalty : -Infinity;
    this.done =
      atEnd ||
      this.running.length === 0 ||
      (this.finished.length === beams && best <= this.finished.at(-1)!.score);
  }
}

function continuations(beam: Running, { width, ids, logProbs }: NextTokens, count: number): Running[] {
  const from = beam.row * width;
  return Array.from({ length: Math.min(count, width) }, (_, i) => ({
    ids: [...beam.ids, Number(ids[from + i])],
    logProb: beam.logProb + logProbs[from + i]!,
    row: beam.row,
  }));
}

/**
 * Searches all questions in one batch; questions that are done leave it.
 *
 * A search ends when its best running beam cannot beat the worst of `beams` finished ones, or at `maxLength`.
 * Source: the semantics of Hugging Face transformers' beam search with `early_stopping: false`.
 * @returns for each question `beams` beams, best first.
 */
export async function beamSearch(
  questions: number,
  step: (rows: readonly BeamRow[]) => Promise<NextTokens>,
  options: BeamSearchOptions,
): Promise<Beam[][]> {
  const searches = Array.from({ length: questions }, (_, q) => new Search(options, q));
  let rows: BeamRow[] = searches.map((_, question) => ({
    token: options.promptId,
    parent: question,
    question,
  }));
  while (rows.length > 0) {
    const next = await step(rows);
    rows = [];
    searches.forEach((search, question) => {
      if (search.done) return;
      search.advance(next);
      if (search.done) return;
      search.running = search.running.map((beam) => {
        rows.push({ token: beam.ids.at(-1)!, parent: beam.row, question });
        return { ...beam, row: rows.length - 1 };
      });
    });
  }
  return searches.map((s) => s.finished);
}
