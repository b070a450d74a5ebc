/**
 * The pending operations of one direction of a connection, or of a listener: each waits for its own event,
 * and ends earlier if the deadline of the direction passes, its AbortSignal fires, or the connection is
 * closed on this side.
 */
import { VsockboxError } from "../errors.ts";
import type { Operation } from "../operations.ts";
import { abortError, onAbort } from "../io/deadline.ts";

/** The longest interval of a timer, in milliseconds; a later deadline is waited for in several steps. */
const LONGEST_TIMER_MS = 0x7fff_ffff;

/** The pending operations of one direction. */
export class PendingOperations {
  readonly #operation: Operation;
  readonly #address: string;
  readonly #pending = new Set<(reason: VsockboxError) => void>();
  #timer: Timer | undefined;
  #isExpired = false;
  #closed: VsockboxError | undefined;

  /**
   * @param operation the operation, for errors.
   * @param address the address of the peer or the listener, for errors.
   */
  constructor(operation: Operation, address: string) {
    this.#operation = operation;
    this.#address = address;
  }

  /**
   * Sets the deadline of all operations, those included that are pending.
   *
   * @param deadline a time, or milliseconds since the epoch; undefined: none.
   * @throws {RangeError} for an invalid time.
   */
  setDeadline(deadline: Date | number | undefined): void {
    const at = deadline === undefined ? undefined : Number(deadline);
    if (Number.isNaN(at)) throw new RangeError("the deadline is not a time");
    clearTimeout(this.#timer);
    this.#isExpired = false;
    if (at !== undefined && at !== Infinity) this.#expireAt(at);
  }

  #expireAt(at: number): void {
    const leftMs = at - Date.now();
    if (leftMs <= 0) {
      this.#isExpired = true;
      this.#endAll(this.#timeout());
      return;
    }
    // Not longer than there is something to wait for: an open connection keeps the process alive.
    this.#timer = setTimeout(() => this.#expireAt(at), Math.min(leftMs, LONGEST_TIMER_MS)).unref();
  }

  /** Ends all pending and later operations with `reason`. */
  close(reason: VsockboxError): void {
    this.#closed ??= reason;
    clearTimeout(this.#timer);
    this.#endAll(this.#closed);
  }

  /**
   * Throws if an operation must not even begin.
   *
   * @throws {VsockboxError} the reason of {@link close}, TIMEOUT, ABORTED.
   */
  check(signal?: AbortSignal): void {
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#isExpired) throw this.#timeout();
    if (signal?.aborted) throw abortError(signal, this.#operation, this.#address);
  }

  /**
   * Waits for an event.
   *
   * @param subscribe receives the callbacks of the event; what it returns is disposed in any case.
   * @throws {VsockboxError} as {@link check}, and what the event fails with.
   */
  async wait(
    subscribe: (resolve: () => void, reject: (reason: unknown) => void) => Disposable,
    signal?: AbortSignal,
  ): Promise<void> {
    this.check(signal);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const event = subscribe(resolve, reject);
    const end = (reason: VsockboxError) => {
      // At once: an event after this must not be spent on an operation that has ended.
      event[Symbol.dispose]();
      reject(reason);
    };
    this.#pending.add(end);
    using _abort = onAbort(signal, () => {
      if (signal !== undefined) end(abortError(signal, this.#operation, this.#address));
    });
    try {
      await promise;
    } finally {
      event[Symbol.dispose]();
      this.#pending.delete(end);
    }
  }

  #endAll(reason: VsockboxError): void {
    for (const end of this.#pending) end(reason);
  }

  #timeout(): VsockboxError {
    return new VsockboxError({
      code: "TIMEOUT",
      operation: this.#operation,
      address: this.#address,
      message: "the deadline has passed",
      errno: "ETIMEDOUT",
    });
  }
}
