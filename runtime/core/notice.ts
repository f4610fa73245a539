/** @file What stands beside every answer, in a terminal or on a page. */
export const NOTICE =
  'Research use only. Not a medical device; not for diagnosis or treatment. Answers can be wrong and confident.';
