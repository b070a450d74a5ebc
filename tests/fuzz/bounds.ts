/** What a fuzzed thing may take of the machine. */

/** A single input or session that takes longer than this is a failure, in milliseconds. */
export const SLOW_MS = 1000;

/** How often memory is looked at, in inputs or sessions. */
export const MEMORY_BATCH = 20_000;

/** Memory that a run may take beyond what was there before it, in bytes. */
const GROWTH_BYTES = 256 * 1024 * 1024;

/** The words for a run that took too much memory since `before`; undefined for one that did not. */
export function hoarding(before: number): string | undefined {
  if (process.memoryUsage.rss() - before <= GROWTH_BYTES) return undefined;
  // What is garbage does not count.
  Bun.gc(true);
  const grown = process.memoryUsage.rss() - before;
  return grown > GROWTH_BYTES ? `it holds ${grown} bytes more than before` : undefined;
}
