/** Paths that changed since they were last mirrored, and when it is time to mirror them. */
import type { WatchEvent } from "../../vfs/watch/file-change.ts";
import { outermost } from "./sync-plan.ts";
import { syncPath } from "./sync-trees.ts";

/** With more changed paths than these the whole tree is compared. */
const MAX_PATHS = 1000;

/** Changes that never pause are mirrored after so many debounce intervals. */
const MAX_INTERVALS = 10;

/** Collects changes until none came for an interval. */
export class DirtyPaths {
  readonly #debounceMs: number;
  #paths = new Set<string>();
  #isAll = false;
  #firstMs: number | undefined;
  #lastMs = 0;

  constructor(debounceMs: number) {
    this.#debounceMs = debounceMs;
  }

  /** Adds a change, seen at a time in milliseconds. */
  add(event: WatchEvent, nowMs: number): void {
    this.#firstMs ??= nowMs;
    this.#lastMs = nowMs;
    if (event.kind === "overflow" || event.path.length === 0) {
      this.#isAll = true;
      return;
    }
    this.#paths.add(syncPath(event.path));
    if (event.from !== undefined) this.#paths.add(syncPath(event.from));
  }

  /** Returns in how many milliseconds the changes are to be mirrored; undefined: there are none. */
  dueMs(nowMs: number): number | undefined {
    if (this.#firstMs === undefined) return undefined;
    const quiet = this.#lastMs + this.#debounceMs;
    const latest = this.#firstMs + this.#debounceMs * MAX_INTERVALS;
    return Math.max(0, Math.min(quiet, latest) - nowMs);
  }

  /** Returns the changed paths, none of them below another one, and forgets them; undefined: all. */
  take(): string[] | undefined {
    const isAll = this.#isAll || this.#paths.size > MAX_PATHS;
    const paths = isAll ? undefined : outermost(this.#paths);
    this.#paths = new Set();
    this.#isAll = false;
    this.#firstMs = undefined;
    return paths;
  }
}
