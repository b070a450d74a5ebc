/** Mirrors a directory again whenever something in it has changed. */
import { VsockboxError } from "../../errors.ts";
import { onAbort } from "../../io/deadline.ts";
import { DirtyPaths } from "./dirty-paths.ts";
import type { SourceWatch } from "./sync-ends.ts";

/** What is watched. */
export interface MirrorOptions {
  /** The source, for errors. */
  shown: string;
  /** Arms the watch of the source. */
  watchSource: () => Promise<SourceWatch>;
  /** Called when it is armed: everything that changes from then on is mirrored. */
  onArmed: (watch: SourceWatch) => void;
  /** How long nothing may change before it is mirrored, in milliseconds. */
  debounceMs: number;
  /** Fires to end the watch. */
  signal: AbortSignal;
}

/**
 * Watches the source, and calls `mirror` for the whole tree, then for each set of changed paths.
 *
 * @param mirror gets relative paths; undefined: the whole tree.
 * @throws {VsockboxError} as `watchSource`; IO if the source is removed; what `mirror` throws.
 */
export async function mirrorChanges(
  { shown, watchSource, onArmed, debounceMs, signal }: MirrorOptions,
  mirror: (paths: readonly string[] | undefined) => Promise<void>,
): Promise<void> {
  const watch = await watchSource();
  using _abort = onAbort(signal, () => watch.close());
  const changes = new ChangeQueue(debounceMs);
  const collected = changes.collect(watch);
  collected.catch(() => undefined);
  try {
    onArmed(watch);
    await mirror(undefined);
    while (await changes.settled()) await mirror(changes.take());
  } finally {
    watch.close();
  }
  await collected;
  if (signal.aborted) return;
  throw new VsockboxError({
    code: "IO",
    operation: "watch",
    address: shown,
    message: "it was removed or moved",
    errno: "ENOENT",
  });
}

/** Collects changes beside the mirror's work. */
class ChangeQueue {
  readonly #dirty: DirtyPaths;
  #hasEnded = false;
  #wake: (() => void) | undefined;

  constructor(debounceMs: number) {
    this.#dirty = new DirtyPaths(debounceMs);
  }

  /** Collects until the watch ends; throws what ends it, after {@link settled} has returned false. */
  async collect(watch: SourceWatch): Promise<void> {
    try {
      for await (const event of watch.events()) {
        this.#dirty.add(event, performance.now());
        this.#wake?.();
      }
    } finally {
      this.#hasEnded = true;
      this.#wake?.();
    }
  }

  /** Waits until there are changes to be mirrored; false: the watch has ended. */
  async settled(): Promise<boolean> {
    for (;;) {
      if (this.#hasEnded) return false;
      const dueMs = this.#dirty.dueMs(performance.now());
      if (dueMs === 0) return true;
      await this.#next(dueMs);
    }
  }

  take(): readonly string[] | undefined {
    return this.#dirty.take();
  }

  /** Waits for the next change or a time. */
  async #next(timeoutMs: number | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = timeoutMs === undefined ? undefined : setTimeout(resolve, timeoutMs);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }
}
