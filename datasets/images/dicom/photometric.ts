/** @file What the samples of a pixel mean. */

/** Samples a pixel, by Photometric Interpretation (PS3.3, C.7.6.3.1.2). */
export const photometrics = {
  MONOCHROME1: 1,
  MONOCHROME2: 1,
  'PALETTE COLOR': 1,
  RGB: 3,
  YBR_FULL: 3,
  YBR_FULL_422: 3,
  YBR_ICT: 3,
  YBR_RCT: 3,
} as const;
export type Photometric = keyof typeof photometrics;

export const isGrey = (photometric: Photometric): boolean => photometric.startsWith('MONOCHROME');
