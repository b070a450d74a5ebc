/** Writes of a non-blocking stream: in order, each complete before the next, waiting for the kernel. */
import type { VsockboxError } from "../errors.ts";

/** The connection that a {@link WriteQueue} writes to. */
export interface WriteTarget {
  /** Writes without waiting; returns the number of accepted bytes, negative if it is closed. */
  write(bytes: Uint8Array): number;
  /** Returns the failure of the connection, if it has one. */
  failure(): VsockboxError | undefined;
  /** Returns the error for a write that is not possible. */
  writeError(message: string): VsockboxError;
  /** Called after a write; `hasWaited` if the kernel had not accepted all of it before. */
  onWritten(hasWaited: boolean): void;
}

/** Ends a write early: with a `reason`, the rest of its bytes is not written. */
export interface WriteCancellation {
  reason: VsockboxError | undefined;
}

/** The queue of a stream's writes. Several writers may use it at once; each call's bytes stay together. */
export class WriteQueue {
  readonly #target: WriteTarget;
  #settled: Promise<void> = Promise.resolve();
  #isBusy = false;
  #isEnded = false;
  #drain: PromiseWithResolvers<void> | undefined;

  constructor(target: WriteTarget) {
    this.#target = target;
  }

  /** Whether a write waits for the kernel or for another write. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Whether {@link end} was called. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Resolves when all writes so far have succeeded or failed. */
  get settled(): Promise<void> {
    return this.#settled;
  }

  /** Refuses all further writes. */
  end(): void {
    this.#isEnded = true;
  }

  /**
   * Writes all bytes; resolves when the kernel has accepted them. The buffer must not change until then.
   *
   * @param cancellation ends the write once it has a reason; {@link onDrain} makes that known.
   * @throws {VsockboxError} the target's failure, or its error if it is closed or {@link end} was called.
   */
  write(bytes: Uint8Array, cancellation?: WriteCancellation): Promise<void> {
    if (bytes.length === 0) return this.#isBusy ? this.#settled : Promise.resolve();
    if (this.#isBusy || this.#isEnded) return this.#enqueue(bytes, cancellation);
    const accepted = this.#target.write(bytes);
    if (accepted < 0) return this.#enqueue(bytes, cancellation);
    this.#target.onWritten(false);
    return accepted === bytes.length
      ? Promise.resolve()
      : this.#enqueue(bytes.subarray(accepted), cancellation);
  }

  #enqueue(bytes: Uint8Array, cancellation: WriteCancellation | undefined): Promise<void> {
    this.#isBusy = true;
    const written = this.#settled.then(() => this.#writeAll(bytes, cancellation));
    const settled = written.then(
      () => undefined,
      () => undefined,
    );
    this.#settled = settled;
    void settled.then(() => {
      if (this.#settled === settled) this.#isBusy = false;
    });
    return written;
  }

  async #writeAll(bytes: Uint8Array, cancellation?: WriteCancellation): Promise<void> {
    const target = this.#target;
    let rest = bytes;
    let hasWaited = false;
    for (;;) {
      const failure = target.failure() ?? cancellation?.reason;
      if (failure !== undefined) throw failure;
      if (this.#isEnded) throw target.writeError("this side has ended its output already");
      const accepted = target.write(rest);
      if (accepted < 0) throw target.writeError("the connection is closed");
      rest = rest.subarray(accepted);
      if (accepted > 0) target.onWritten(hasWaited);
      if (rest.length === 0) return;
      this.#drain ??= Promise.withResolvers();
      await this.#drain.promise;
      hasWaited = true;
    }
  }

  /** Continues a write that waits: the kernel accepts bytes again, or the connection has ended. */
  onDrain(): void {
    const drain = this.#drain;
    this.#drain = undefined;
    drain?.resolve();
  }
}
