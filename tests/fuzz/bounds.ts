/** What a fuzzed thing may take of the machine. */

/** A single input or session that takes more of the processor is a failure, in milliseconds. */
export const SLOW_MS = 5000;

/** What this process has taken of the processor, in milliseconds: a busy machine does not count. */
export function usedMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** What `action` takes of the processor, in milliseconds. */
export function processorMs(action: () => void): number {
  const before = usedMs();
  action();
  return usedMs() - before;
}

/** Takes too much of the processor. */
export function burnProcessor(): void {
  const end = usedMs() + SLOW_MS * 1.2;
  while (usedMs() < end);
}

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
