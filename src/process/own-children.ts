/**
 * The processes that the runtime itself waits for. If a reaper collected one of them, the code that
 * started it would not get its exit status.
 */

const own = new Set<number>();

/** Notes a child of `Bun.spawn`. To be called in the same turn as the spawn. */
export function registerChild(pid: number): void {
  own.add(pid);
}

/** Forgets a child once the runtime has collected it: its pid may be reused by another process. */
export function forgetChild(pid: number): void {
  own.delete(pid);
}

/** Whether the runtime waits for this process. */
export function isOwnChild(pid: number): boolean {
  return own.has(pid);
}
