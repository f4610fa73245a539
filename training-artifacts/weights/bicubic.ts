/** @file Position embeddings of a ViT on another grid of patches. */

/** Weights of the four neighbours at distance 1+t, t, 1−t, 2−t: Keys' kernel with A = −0.75. */
function cubic(t: number): readonly [number, number, number, number] {
  const A = -0.75;
  const near = (x: number) => ((A + 2) * x - (A + 3)) * x * x + 1;
  const far = (x: number) => ((A * x - 5 * A) * x + 8 * A) * x - 4 * A;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/** Where each of `to` points lies among `from`: four neighbours, at the border repeated, and their weights. */
function taps(from: number, to: number) {
  return Array.from({ length: to }, (_, i) => {
    const at = ((i + 0.5) * from) / to - 0.5;
    const first = Math.floor(at);
    const places = [-1, 0, 1, 2].map((d) => Math.min(from - 1, Math.max(0, first + d)));
    return { places, weights: cubic(at - first) };
  });
}

/**
 * Bicubic resize of a square grid of vectors, not antialiased.
 *
 * Shapes: grid [from·from, width] float32 → [to·to, width].
 * Source: what BLIP does to its position embeddings, PyTorch's
 * interpolate(mode='bicubic', align_corners=False).
 */
export function resizeGrid(
  grid: Float32Array,
  from: number,
  to: number,
  width: number,
): Float32Array<ArrayBuffer> {
  const along = taps(from, to);
  const resized = new Float32Array(to * to * width);
  for (let y = 0; y < to; y++) {
    for (let x = 0; x < to; x++) {
      const out = (y * to + x) * width;
      for (let c = 0; c < width; c++) {
        let total = 0;
        for (let j = 0; j < 4; j++) {
          const row = along[y]!.places[j]! * from;
          let sum = 0;
          for (let i = 0; i < 4; i++) {
            sum += along[x]!.weights[i]! * grid[(row + along[x]!.places[i]!) * width + c]!;
          }
          total += along[y]!.weights[j]! * sum;
        }
        resized[out + c] = total;
      }
    }
  }
  return resized;
}
