/**
 * Watches a directory, by default with everything below it, for changes: inotify(7), which watches single
 * directories, made recursive.
 *
 *   inotify-events.ts       the kernel's structures
 *   move-pairs.ts           both halves of a rename become one event
 *   watched-directories.ts  which watch is which directory
 *   translate.ts            an event becomes steps: reports, and changes of the watches
 *   tree-reader.ts          opens and reads directories of the tree
 *   this file               performs the steps
 *
 * A new directory is watched first and read afterwards, so an entry made meanwhile is found by one of the
 * two, and reported once (`WatchedDirectory.reported`). Which directory has a place is decided by the file
 * system alone: the kernel returns the same number for a directory that is watched already, so a
 * directory that was renamed while another one was read is found again.
 *
 * Memory: events are read from the kernel only when the reader asks for the next one. What it does not
 * read in time fills the kernel's queue (fs.inotify.max_queued_events), whose overflow is reported; the
 * watches are then compared with the file system.
 *
 * Symbolic links are not followed, nor are the directories of /proc and /sys watched from outside of them.
 */
import { VsockboxError } from "../../errors.ts";
import { Inotify } from "../../ffi/inotify.ts";
import { type BytesPath, descriptorPath, showPath } from "../../files/bytes-path.ts";
import { DirectoryHandle } from "../../files/directory-handle.ts";
import { ReadyDescriptor } from "../../io/ready-descriptor.ts";
import type { FileChange, WatchEvent, WatchFilter } from "./file-change.ts";
import { decodeInotifyEvents } from "./inotify-events.ts";
import { MovePairs, type PairedEvent } from "./move-pairs.ts";
import { isVisible, mayBeUnnamed, translate, type WatchStep } from "./translate.ts";
import { readTreeEntries, type TreeEntry, TreeReader, type TreeRoot } from "./tree-reader.ts";
import {
  isWithin,
  keyOf,
  WatchedDirectories,
  type WatchedDirectory,
  type WatchedPlace,
} from "./watched-directories.ts";

/** Directories that one watcher watches by default; each keeps about a kilobyte of the kernel's memory. */
const MAX_DIRECTORIES = 100_000;

/** How long the second half of a rename may follow the first one, in milliseconds. */
const MOVE_PAIR_MS = 20;

/** Directories between two turns of the event loop. */
const TURN_DIRECTORIES = 100;

/** Options of {@link TreeWatch.open}. */
export interface TreeWatchOptions extends WatchFilter {
  /** The directory's path, for errors. */
  shown: Uint8Array;
  /** Limit of the watched directories. */
  maxDirectories?: number | undefined;
  /** Called when all changes up to now have been read. */
  onDrained?: (() => void) | undefined;
}

/** A directory that was opened and is watched. */
interface EnteredDirectory {
  directory: WatchedDirectory;
  /** Whether it was not watched before. */
  isNew: boolean;
  /** What it contains, as far as that is reported. */
  entries: TreeEntry[];
}

/** A directory that is being watched. Disposing it ends the watches. */
export class TreeWatch implements Disposable {
  readonly #options: TreeWatchOptions;
  readonly #reader: TreeReader;
  readonly #inotify: Inotify;
  readonly #tree: WatchedDirectories;
  readonly #pairs = new MovePairs();
  /** Directories that were read since the queue was empty. */
  readonly #reported = new Set<WatchedDirectory>();
  /** Directories whose place another one has taken, until the end of the step. */
  readonly #displaced = new Set<WatchedDirectory>();
  #isClosed = false;
  #wake: (() => void) | undefined;

  private constructor(
    { reader, inotify }: { reader: TreeReader; inotify: Inotify },
    root: DirectoryHandle,
    options: TreeWatchOptions,
  ) {
    this.#options = options;
    this.#reader = reader;
    this.#inotify = inotify;
    this.#tree = new WatchedDirectories(this.#watch(root));
  }

  /**
   * Watches the directory at a path. Everything that changes after this has returned is reported.
   *
   * @param path absolute; links in it are followed.
   * @throws {VsockboxError} REFUSED if it has more directories than it may have, or cannot be read; IO with
   * ENOSPC or EMFILE if this user has too many watches or watchers.
   */
  static async open(path: BytesPath, options: TreeWatchOptions): Promise<TreeWatch> {
    using root = DirectoryHandle.open(path);
    return TreeWatch.#open(root, { kind: "path", path, identity: root.status() }, options);
  }

  /**
   * Watches an open directory, as {@link open}, wherever its tree is moved to: then {@link events} ends, and
   * it can be watched again. Its removal is not reported, since it is open.
   *
   * @param directory need not stay open.
   */
  static async openHandle(
    directory: DirectoryHandle,
    options: TreeWatchOptions,
  ): Promise<TreeWatch> {
    using root = directory.reopen();
    return TreeWatch.#open(root, { kind: "handle", handle: directory.reopen() }, options);
  }

  static async #open(
    directory: DirectoryHandle,
    root: TreeRoot,
    options: TreeWatchOptions,
  ): Promise<TreeWatch> {
    using opened = new DisposableStack();
    const reader = opened.use(new TreeReader(root));
    const inotify = opened.adopt(new Inotify(), (one) => one.close());
    const watch = new TreeWatch({ reader, inotify }, directory, options);
    await watch.#readAll();
    opened.move();
    return watch;
  }

  /** Number of watched directories. */
  get directories(): number {
    return this.#tree.size;
  }

  /** Number of directories that this user may not read, and so are not watched. */
  get unreadable(): number {
    return this.#reader.unreadable;
  }

  /**
   * Returns the changes as they happen. To be called once; ends when the directory itself is
   * removed or moved, or the watch is closed.
   *
   * @throws {VsockboxError} as {@link open}, for a directory that was made meanwhile.
   */
  async *events(): AsyncGenerator<WatchEvent, void, undefined> {
    try {
      while (!this.#isClosed) {
        if (!(await this.#hasEvent())) continue;
        const event = this.#pairs.shift();
        if (event === undefined || this.#isUnnamed(event)) continue;
        for (const step of translate(event, this.#tree, this.#options)) {
          if (step.kind === "end" || this.#isClosed) return;
          yield* this.#perform(step);
        }
        for (const directory of this.#displaced) {
          if (!this.#tree.isAttached(directory)) this.#forget(directory);
        }
        this.#displaced.clear();
      }
    } finally {
      this.close();
    }
  }

  /** Ends the watch, and {@link events} with it. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#wake?.();
    this.#inotify.close();
    this.#reader[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #isUnnamed(paired: PairedEvent): boolean {
    if (paired.kind === "move" || !mayBeUnnamed(paired.event)) return false;
    const { watch, name } = paired.event;
    const parent = this.#tree.find(watch);
    if (parent === undefined || name === undefined) return false;
    using directory = this.#reader.open(this.#tree.names(parent));
    return directory?.find(name) === undefined;
  }

  /** Waits for an event; false if it has to be called again. */
  async #hasEvent(): Promise<boolean> {
    const { hasEvents, isHalf } = this.#pairs;
    if (hasEvents && !isHalf) return true;
    const bytes = this.#inotify.read();
    if (bytes !== undefined) {
      this.#pairs.push(decodeInotifyEvents(bytes));
      return false;
    }
    // Without its other half by now, it was moved out of the tree.
    if (isHalf) return (await this.#untilReadable(MOVE_PAIR_MS)) === "timeout";
    // The queue is empty: it has no more events of what was read from the directories.
    this.#forgetReported();
    this.#options.onDrained?.();
    await this.#untilReadable();
    return false;
  }

  async #untilReadable(timeoutMs?: number): Promise<"ready" | "timeout"> {
    const ready = new ReadyDescriptor(this.#inotify.fd);
    const { promise, resolve } = Promise.withResolvers<"ready" | "timeout">();
    const timer = timeoutMs === undefined ? undefined : setTimeout(resolve, timeoutMs, "timeout");
    this.#wake = () => ready.close();
    void ready.readable().then(() => resolve("ready"));
    const outcome = await promise;
    clearTimeout(timer);
    this.#wake = undefined;
    ready.close();
    return outcome;
  }

  async *#perform(step: Exclude<WatchStep, { kind: "end" }>): AsyncGenerator<WatchEvent> {
    switch (step.kind) {
      case "report":
        yield step.event;
        return;
      case "arm":
        yield* this.#arm(step.place);
        return;
      case "move":
        yield* this.#move(step.from, step.to);
        return;
      case "forget":
        this.#forget(step.directory);
        return;
      case "rescan":
        await this.#readAll();
    }
  }

  /** Moves a directory; the file system decides which one has the new name, and which one the old. */
  async *#move(from: WatchedPlace, to: WatchedPlace): AsyncGenerator<FileChange> {
    const moved = this.#tree.at(from);
    const hadPlace = this.#tree.at(to) !== undefined;
    if (moved !== undefined && !isWithin(to.parent, moved)) this.#attach(moved, to);
    yield* this.#arm(to);
    // Both were exchanged, or another directory has the old name already.
    if (hadPlace || this.#tree.at(to) !== moved) yield* this.#arm(from);
  }

  /** Watches what has a place now, and everything below it that is new, and reports that. */
  async *#arm(first: WatchedPlace): AsyncGenerator<FileChange> {
    for await (const { directory, isNew, entries } of this.#walk([first])) {
      if (!isNew) continue;
      directory.reported = new Set(entries.map(({ name }) => keyOf(name)));
      this.#reported.add(directory);
      for (const { name, isDirectory } of entries) {
        const path = this.#tree.path({ parent: directory, name });
        yield { kind: "create", path, from: undefined, isDirectory };
      }
    }
  }

  /** Watches the whole tree as it is now, and ends the watches of everything else. */
  async #readAll(): Promise<void> {
    const { root } = this.#tree;
    if (!this.#options.isRecursive) return;
    using handle = this.#reader.open([]);
    if (handle === undefined) return;
    const found = new Set([root]);
    const first = subdirectories(root, this.#visibleEntries(root, handle));
    for await (const { directory } of this.#walk(first, true)) found.add(directory);
    this.#forgetReported();
    for (const directory of [...this.#tree.all()]) {
      if (!found.has(directory)) this.#forget(directory);
    }
  }

  /** Reports what was found in directories again if it is created again. */
  #forgetReported(): void {
    for (const directory of this.#reported) directory.reported = undefined;
    this.#reported.clear();
  }

  /** Watches directories and those in them; those that were watched before are entered `again` or not. */
  async *#walk(
    places: readonly WatchedPlace[],
    again = false,
  ): AsyncGenerator<EnteredDirectory, void, undefined> {
    const pending = [...places];
    let count = 0;
    for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
      if (++count % TURN_DIRECTORIES === 0) await nextTurn();
      if (this.#isClosed) return;
      const entered = this.#enter(place);
      if (entered === undefined) continue;
      yield entered;
      if (entered.isNew || again) {
        pending.push(...subdirectories(entered.directory, entered.entries));
      }
    }
  }

  /** Watches and reads the directory that has a place now; undefined if none has, or it cannot be watched. */
  #enter(place: WatchedPlace): EnteredDirectory | undefined {
    const { parent, name } = place;
    const opened = this.#reader.open([...this.#tree.names(parent), name]);
    if (opened === undefined) return undefined;
    using handle = opened;
    const watch = this.#watch(handle);
    const known = this.#tree.find(watch);
    // A directory that is mounted below itself has its place already.
    if (known !== undefined && isWithin(parent, known)) return undefined;
    if (known !== undefined) this.#attach(known, place);
    const directory = known ?? this.#add(watch, place);
    return {
      directory,
      isNew: known === undefined,
      entries: this.#visibleEntries(directory, handle),
    };
  }

  #add(watch: number, place: WatchedPlace): WatchedDirectory {
    const limit = this.#options.maxDirectories ?? MAX_DIRECTORIES;
    if (this.#tree.size >= limit) {
      throw new VsockboxError({
        code: "REFUSED",
        operation: "watch",
        address: showPath(this.#options.shown),
        message: `it has more than ${limit} directories`,
        hint: "watch a part of it",
      });
    }
    const directory = this.#tree.add(watch, place.name);
    this.#attach(directory, place);
    return directory;
  }

  #attach(directory: WatchedDirectory, place: WatchedPlace): void {
    const displaced = this.#tree.attach(directory, place);
    if (displaced !== undefined) this.#displaced.add(displaced);
  }

  #forget(directory: WatchedDirectory): void {
    for (const watch of this.#tree.remove(directory)) this.#inotify.remove(watch);
  }

  #watch(handle: DirectoryHandle): number {
    const path = descriptorPath(handle.fd);
    if (path !== undefined) return this.#inotify.watch(path, showPath(this.#options.shown));
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "watch",
      address: showPath(this.#options.shown),
      message: "/proc is not mounted",
    });
  }

  #visibleEntries(parent: WatchedDirectory, handle: DirectoryHandle): TreeEntry[] {
    return readTreeEntries(handle).filter(({ name }) =>
      isVisible({ parent, name }, this.#tree, this.#options),
    );
  }
}

function subdirectories(parent: WatchedDirectory, entries: readonly TreeEntry[]): WatchedPlace[] {
  return entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => ({ parent, name }));
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
