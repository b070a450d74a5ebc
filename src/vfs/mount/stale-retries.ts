/**
 * Second attempts to use a file whose name was replaced meanwhile.
 *
 * The kernel looks a name up, then asks for the attributes of the node that it has got, or opens it. If the
 * name has become another file in between, the answer is ESTALE: the kernel looks the name up again and
 * repeats the operation, once. A second ESTALE goes to the program, which on a local file system would have
 * had one file or the other. So the lookup of a second attempt opens the file at once, and what follows gets
 * that handle, whatever the name has become since.
 *
 * A thread makes both attempts, so that they are recognised by its ID. What is not used is closed again.
 */
import type { RemoteFiles, RemoteStatus } from "../client/remote-files.ts";
import { nameKey, type Node, type Place } from "./node-table.ts";

/** A file that a lookup has opened. */
export interface OpenedAhead {
  readonly node: Node;
  /** Those of the connection that the handle belongs to. */
  readonly files: RemoteFiles;
  readonly handle: number;
  readonly status: RemoteStatus;
}

interface Attempt {
  readonly parent: Node;
  readonly key: string;
  /** Flags of open(2) for the host. */
  readonly flags: number;
  opened: OpenedAhead | undefined;
  /** Whether its facts are yet to be used: later ones are asked for. */
  hasFacts: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** How long a lookup of the second attempt is expected, in milliseconds: a busy guest needs a while for it. */
const EXPECTED_MS = 10_000;
/** How long what it has opened is kept, in milliseconds: it may be used for a file that was replaced since. */
const KEPT_MS = 2000;
/** Threads that may be about to try again: each may have one open file of the host. */
const MAX_ATTEMPTS = 64;

/** The second attempts of a mount. */
export class StaleRetries {
  readonly #attempts = new Map<number, Attempt>();
  readonly #expectedMs: number;
  readonly #keptMs: number;

  /** @param times how long a lookup is expected, and what it has opened is kept, in milliseconds. */
  constructor({ expectedMs = EXPECTED_MS, keptMs = KEPT_MS } = {}) {
    this.#expectedMs = expectedMs;
    this.#keptMs = keptMs;
  }

  /** The number of threads that are expected to try again. */
  get size(): number {
    return this.#attempts.size;
  }

  /** Records that a thread gets ESTALE for a file that was at this place. */
  refused(thread: number, place: Place | undefined, flags: number): void {
    this.#drop(thread);
    if (place === undefined || this.#attempts.size >= MAX_ATTEMPTS) return;
    const { parent, name } = place;
    const attempt: Attempt = {
      ...{ parent, key: nameKey(name), flags, opened: undefined, hasFacts: false },
      timer: undefined,
    };
    this.#attempts.set(thread, attempt);
    this.#dropAfter(this.#expectedMs, thread, attempt);
  }

  /** Returns the flags to open a name with at its lookup; undefined if this is not a second attempt. */
  flagsOf(thread: number, parent: Node, name: Uint8Array): number | undefined {
    const attempt = this.#attempts.get(thread);
    if (attempt?.parent !== parent || attempt.key !== nameKey(name)) return undefined;
    return attempt.flags;
  }

  /** Keeps what a lookup has opened, in place of what the one before has opened. */
  keep(thread: number, opened: OpenedAhead): void {
    const attempt = this.#attempts.get(thread);
    if (attempt === undefined) {
      close(opened);
      return;
    }
    if (attempt.opened !== undefined) close(attempt.opened);
    attempt.opened = opened;
    attempt.hasFacts = true;
    this.#dropAfter(this.#keptMs, thread, attempt);
  }

  #find(thread: number, node: Node, files: RemoteFiles): OpenedAhead | undefined {
    const opened = this.#attempts.get(thread)?.opened;
    return opened?.node === node && opened.files === files ? opened : undefined;
  }

  /** Returns the facts of what the lookup of a node has opened, once. */
  takeFacts(thread: number, node: Node, files: RemoteFiles): RemoteStatus | undefined {
    const opened = this.#find(thread, node, files);
    const attempt = this.#attempts.get(thread);
    if (attempt?.hasFacts !== true) return undefined;
    attempt.hasFacts = opened === undefined;
    return opened?.status;
  }

  /** Returns what the lookup of a node has opened with these flags. The caller owns the handle. */
  take(thread: number, node: Node, flags: number, files: RemoteFiles): OpenedAhead | undefined {
    const opened = this.#find(thread, node, files);
    const attempt = this.#attempts.get(thread);
    if (opened === undefined || attempt?.flags !== flags) return undefined;
    attempt.opened = undefined;
    this.#drop(thread);
    return opened;
  }

  #dropAfter(delayMs: number, thread: number, attempt: Attempt): void {
    clearTimeout(attempt.timer);
    attempt.timer = setTimeout(() => this.#drop(thread), delayMs);
    attempt.timer.unref();
  }

  #drop(thread: number): void {
    const attempt = this.#attempts.get(thread);
    if (attempt === undefined) return;
    clearTimeout(attempt.timer);
    this.#attempts.delete(thread);
    if (attempt.opened !== undefined) close(attempt.opened);
  }
}

function close({ files, handle }: OpenedAhead): void {
  // A handle that cannot be closed is closed with the connection.
  void files.release(handle).catch(() => undefined);
}
