/**
 * Collecting orphans that were handed to this process, as PID 1 or as a subreaper. The runtime waits
 * for each of its own children by pid and never for others, so these are left to it.
 */
import { collectChild, peekEndedChild } from "../../ffi/wait.ts";
import { isOwnChild } from "../own-children.ts";

/**
 * Delay before looking again while the next process to be collected is the runtime's, in
 * milliseconds: the kernel shows only the first, and orphans may follow it.
 */
const FIRST_RETRY_MS = 5;
const MAX_RETRY_MS = 200;

/** Options of {@link startReaper}. */
export interface ReaperOptions {
  /** Called with the pid of each collected orphan. */
  onReaped?: ((pid: number) => void) | undefined;
}

/** A running reaper, stopped by disposing it. */
export interface Reaper extends Disposable {
  /** How many orphans it has collected. */
  readonly reaped: number;
}

/**
 * Collects ended orphans from now on. Every child of `Bun.spawn` must be registered by
 * `registerChild`, as `ProcessGroup` does.
 *
 * @example
 * using _reaper = startReaper();
 */
export function startReaper({ onReaped }: ReaperOptions = {}): Reaper {
  let reaped = 0;
  let retry: ReturnType<typeof setTimeout> | undefined;

  const collect = (retryMs: number) => {
    clearTimeout(retry);
    retry = undefined;
    for (;;) {
      const pid = peekEndedChild();
      if (pid === undefined) return;
      if (isOwnChild(pid)) {
        retry = setTimeout(() => collect(Math.min(retryMs * 2, MAX_RETRY_MS)), retryMs);
        retry.unref();
        return;
      }
      if (!collectChild(pid)) return;
      reaped++;
      onReaped?.(pid);
    }
  };
  const onChild = () => collect(FIRST_RETRY_MS);

  process.on("SIGCHLD", onChild);
  onChild();
  return {
    get reaped() {
      return reaped;
    },
    [Symbol.dispose]() {
      process.off("SIGCHLD", onChild);
      clearTimeout(retry);
    },
  };
}
