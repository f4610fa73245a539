/** @file Huge pages for processes that train. */

const TUNABLE = 'glibc.malloc.hugetlb';

/**
 * The environment of a process whose large arrays the kernel may keep in pages of 2 MB: a step that writes gigabytes
 * faults 500 times less often. Measured on 2 cores at miss-base, batch 2: LoRA T/P/P 11.5 to 10.6 s a step, full
 * training 14.7 to 13.3 s, the same memory. Read by glibc 2.35 or newer on Linux, by nothing elsewhere; a choice of the
 * user's own is kept.
 */
export function withHugePages(environment: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const { GLIBC_TUNABLES: given } = environment;
  if (given?.includes(TUNABLE)) return environment;
  return { ...environment, GLIBC_TUNABLES: [given, `${TUNABLE}=1`].filter(Boolean).join(':') };
}
