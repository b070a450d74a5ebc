/** Changes of an exported directory for all its connections: one watcher, while there is a subscriber. */
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import { MAX_PATH_BYTES } from "../../protocols/vfs/fields.ts";
import type { DirectoryHandle } from "../../files/directory-handle.ts";
import type { WatchEvent } from "../watch/file-change.ts";
import { TreeWatch } from "../watch/tree-watch.ts";
import type { VfsChange } from "./changes.ts";
import type { ChangeTurns } from "./own-changes.ts";
import type { HiddenNames } from "./hidden-names.ts";

const NOTE_KINDS = {
  create: "created",
  modify: "modified",
  remove: "removed",
  attributes: "attributes",
} as const;

const OVERFLOW: VfsChange = { kind: "overflow", path: new Uint8Array(0) };

/** Returns an event of the watcher as a notification. */
export function changeOf(event: WatchEvent): VfsChange {
  if (event.kind === "overflow") return OVERFLOW;
  const { kind, path, from } = event;
  if (path.length > MAX_PATH_BYTES || (from?.length ?? 0) > MAX_PATH_BYTES) return OVERFLOW;
  if (kind !== "rename") return { kind: NOTE_KINDS[kind], path };
  return from === undefined
    ? { kind: "created", path }
    : { kind: "renamed", path: from, newPath: path };
}

/** The watcher of one directory and its subscribers. */
export class ChangeFeed implements ChangeTurns {
  readonly #directory: DirectoryHandle;
  readonly #shown: Uint8Array;
  readonly #hidden: HiddenNames;
  readonly #onFailure: ((error: VsockboxError) => void) | undefined;
  readonly #subscribers = new Set<(change: VfsChange) => void>();
  #watch: Promise<TreeWatch> | undefined;
  #hasFailed = false;
  #turn = 0;

  constructor(
    directory: DirectoryHandle,
    shown: Uint8Array,
    options: {
      readonly hidden: HiddenNames;
      readonly onWatchFailure?: ((error: VsockboxError) => void) | undefined;
    },
  ) {
    this.#directory = directory;
    this.#shown = shown;
    this.#hidden = options.hidden;
    this.#onFailure = options.onWatchFailure;
  }

  /**
   * Calls `notify` for each change from now on until the result is disposed.
   *
   * @throws {VsockboxError} if the directory cannot be watched.
   */
  async subscribe(notify: (change: VfsChange) => void): Promise<Disposable> {
    this.#subscribers.add(notify);
    try {
      await (this.#watch ??= this.#start());
    } catch (thrown) {
      this.#subscribers.delete(notify);
      this.#watch = undefined;
      throw this.#report(thrown);
    }
    return {
      [Symbol.dispose]: () => {
        this.#subscribers.delete(notify);
        if (this.#subscribers.size === 0) this.close();
      },
    };
  }

  get isWatching(): boolean {
    return this.#watch !== undefined;
  }

  get turn(): number {
    return this.#turn;
  }

  /** Ends the watcher. */
  close(): void {
    const watch = this.#watch;
    this.#watch = undefined;
    void watch?.then((one) => one[Symbol.dispose]()).catch(() => undefined);
  }

  async #start(): Promise<TreeWatch> {
    const watch = await TreeWatch.openHandle(this.#directory, {
      shown: this.#shown,
      isRecursive: true,
      onDrained: () => this.#turn++,
      isHidden: this.#hidden.isEmpty ? undefined : (path) => this.#hidden.hidesPath(path),
    });
    void this.#forward(watch);
    return watch;
  }

  async #forward(watch: TreeWatch): Promise<void> {
    try {
      for await (const event of watch.events()) this.#notify(changeOf(event));
    } catch (thrown) {
      this.#report(thrown);
    }
    if (this.#watch === undefined) return;
    // The tree was moved, or had to be given up: what changed meanwhile is not known.
    this.#watch = this.#start();
    try {
      await this.#watch;
    } catch (thrown) {
      this.#watch = undefined;
      this.#report(thrown);
    }
    this.#notify(OVERFLOW);
  }

  #notify(change: VfsChange): void {
    for (const notify of this.#subscribers) notify(change);
  }

  #report(thrown: unknown): VsockboxError {
    const error = toVsockboxError(thrown, "inspect");
    if (!this.#hasFailed) this.#onFailure?.(error);
    this.#hasFailed = true;
    return error;
  }
}
