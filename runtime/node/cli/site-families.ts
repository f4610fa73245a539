/** @file A listing of adapter sites. */

/** Sites with their layer numbers taken out, and how many there are of each. */
export function siteFamilies(sites: readonly string[]): [family: string, count: number][] {
  const counts = new Map<string, number>();
  for (const site of sites) {
    const family = site.replace(/\.\d+\./g, '.*.');
    counts.set(family, (counts.get(family) ?? 0) + 1);
  }
  return [...counts];
}
