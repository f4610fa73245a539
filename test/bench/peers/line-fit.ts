/** @file A straight line through measured times. */

export interface Line {
  /** seconds at size 0, and for each unit of size */
  readonly intercept: number;
  readonly slope: number;
  /** share of the times' variance that the line explains */
  readonly r2: number;
}

/** Least squares: y = intercept + slope · x. Two points or more with different x. */
export function fitLine(x: readonly number[], y: readonly number[]): Line {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const sum = (f: (dx: number, dy: number) => number) =>
    x.reduce((s, xi, i) => s + f(xi - mx, y[i]! - my), 0);
  const slope = sum((dx, dy) => dx * dy) / sum((dx) => dx * dx);
  const intercept = my - slope * mx;
  const total = sum((_, dy) => dy * dy);
  const rest = sum((dx, dy) => (dy - slope * dx) ** 2);
  return { intercept, slope, r2: total === 0 ? 1 : 1 - rest / total };
}
