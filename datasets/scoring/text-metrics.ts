/** @file How well one answer matches another: exact match, token F1, BLEU-1. */
import { answerWords, isSameAnswer } from './normalise-answer.js';

export const metricNames = ['exact', 'f1', 'bleu1'] as const;
export type MetricName = (typeof metricNames)[number];

export interface TextMetric {
  readonly title: string;
  /** one sentence; it stands under every table */
  readonly definition: string;
  /** in [0, 1] */
  readonly of: (prediction: string, answer: string) => number;
}

const counts = (words: readonly string[]): Map<string, number> => {
  const found = new Map<string, number>();
  for (const word of words) found.set(word, (found.get(word) ?? 0) + 1);
  return found;
};

/** Words that both have, each at most as often as the rarer side has it. */
function sharedWords(a: readonly string[], b: readonly string[]): number {
  const other = counts(b);
  return [...counts(a)].reduce((sum, [word, n]) => sum + Math.min(n, other.get(word) ?? 0), 0);
}

/** SQuAD's words: without ASCII punctuation and articles. */
const squadWords = (text: string): string[] =>
  answerWords(text)
    .map((word) => word.replace(/[!-/:-@[-`{-~]/g, ''))
    .filter((word) => word !== '' && !/^(a|an|the)$/.test(word));

/**
 * F1 of the two bags of words: 2·shared / (words of one + words of the other); 1 when both are empty.
 * Source: Rajpurkar et al. 2018 (SQuAD 2.0), the official evaluation's F1.
 */
export function tokenF1(prediction: string, answer: string): number {
  const [said, meant] = [squadWords(prediction), squadWords(answer)];
  if (said.length === 0 || meant.length === 0) return Number(said.length === meant.length);
  return (2 * sharedWords(said, meant)) / (said.length + meant.length);
}

/**
 * Clipped share of predicted words that the answer has, times the brevity penalty; no smoothing.
 *
 *   BLEU-1 = min(1, e^(1 − r/c)) · shared / c,  c and r words in prediction and answer
 *
 * Source: Papineni et al. 2002, of one sentence as NLTK's `sentence_bleu(weights=(1,))`.
 */
export function bleu1(prediction: string, answer: string): number {
  const [said, meant] = [answerWords(prediction), answerWords(answer)];
  if (said.length === 0) return 0;
  const penalty = Math.min(1, Math.exp(1 - meant.length / said.length));
  return (penalty * sharedWords(said, meant)) / said.length;
}

export const textMetrics: Readonly<Record<MetricName, TextMetric>> = {
  exact: {
    title: 'exact match',
    definition:
      'exact match: both sides lower-cased, trimmed, blanks around punctuation and a final full stop dropped',
    of: (prediction, answer) => Number(isSameAnswer(prediction, answer)),
  },
  f1: {
    title: 'token F1',
    definition:
      "token F1: SQuAD 2.0's, of words in lower case without punctuation and articles; blanks that the tokenizer put around punctuation undone",
    of: tokenF1,
  },
  bleu1: {
    title: 'BLEU-1',
    definition:
      "BLEU-1: mean over answers of NLTK's sentence_bleu with weights (1,), no smoothing, words in lower case; blanks around punctuation undone",
    of: bleu1,
  },
};
