/** @file From 8-bit pixels to the numbers that a vision model was trained on. */

/** value = (byte · scale − mean) / std, by colour. */
export interface Normalisation {
  readonly scale: number;
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

export const normalisations = {
  /** torchvision's models, DeiT, DINO. */
  imagenet: { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  /** Google's ViT and most of timm's. */
  half: { scale: 1 / 255, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  /** CLIP and BLIP. */
  clip: {
    scale: 1 / 255,
    mean: [0.48145466, 0.4578275, 0.40821073],
    std: [0.26862954, 0.26130258, 0.27577711],
  },
  /** The published MISS code: divides by 255 twice, so that its inputs lie in [0, 1/255]. */
  reference: { scale: 1 / 255 / 255, mean: [0, 0, 0], std: [1, 1, 1] },
} as const satisfies Record<string, Normalisation>;

export type NormalisationName = keyof typeof normalisations;

export const normalisationNames = Object.keys(normalisations) as [NormalisationName, ...NormalisationName[]];

/**
 * @param planes uint8 [3, height, width]
 * @returns float32 [3, height, width]
 */
export function toPixelValues(
  planes: Uint8Array,
  height: number,
  width: number,
  { scale, mean, std }: Normalisation,
): Float32Array<ArrayBuffer> {
  const size = height * width;
  if (planes.length !== 3 * size) {
    throw new Error(`internal: ${planes.length} bytes are not 3 x ${height} x ${width}`);
  }
  const values = new Float32Array(3 * size);
  for (let c = 0; c < 3; c++) {
    // 256 possible bytes: a table is faster than the division, and as exact.
    const table = Float32Array.from({ length: 256 }, (_, byte) => (byte * scale - mean[c]!) / std[c]!);
    for (let i = c * size; i < (c + 1) * size; i++) values[i] = table[planes[i]!]!;
  }
  return values;
}
