/** Deadlines and backoff. */
import { type Operation } from "../operations.ts";
import { VsockboxError } from "../errors.ts";

/** Growing pauses between attempts, in milliseconds. */
export interface Backoff {
  firstMs: number;
  factor: number;
  maxMs: number;
}

/** Returns the pause after attempt number `attempt` (from 0), in milliseconds. */
export function backoffDelay({ firstMs, factor, maxMs }: Backoff, attempt: number): number {
  return Math.min(maxMs, firstMs * factor ** attempt);
}

/** Returns the error of an aborted operation: the signal's reason if that is a {@link VsockboxError}. */
export function abortError(
  signal: AbortSignal,
  operation: Operation,
  address?: string,
): VsockboxError {
  if (signal.reason instanceof VsockboxError) return signal.reason;
  return new VsockboxError({
    code: "ABORTED",
    operation,
    address,
    message: "it was interrupted",
    cause: signal.reason,
  });
}

/** Calls `action` when the signal fires, at once if it has fired already, until disposed. */
export function onAbort(signal: AbortSignal | undefined, action: () => void): Disposable {
  if (signal?.aborted) action();
  else signal?.addEventListener("abort", action, { once: true });
  return { [Symbol.dispose]: () => signal?.removeEventListener("abort", action) };
}

/**
 * Waits for a number of milliseconds, or until the signal fires.
 *
 * @throws {VsockboxError} the signal's reason, or ABORTED.
 */
export async function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal === undefined) return Bun.sleep(milliseconds);
  if (signal.aborted) throw abortError(signal, "wait");
  const done = Promise.withResolvers<void>();
  const timer = setTimeout(done.resolve, milliseconds);
  using _abort = onAbort(signal, () => done.reject(abortError(signal, "wait")));
  try {
    await done.promise;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Awaits the answer to a request that was sent over `stream`, which is aborted if none comes in time.
 *
 * @param what the request, as a verb phrase for the error.
 * @throws {VsockboxError} TIMEOUT, and what `answer` throws.
 */
export function answerInTime<T>(
  stream: { abort(reason?: VsockboxError): void },
  answer: Promise<T>,
  {
    milliseconds,
    what,
    hint,
  }: { milliseconds: number; what: Operation; hint?: string | undefined },
): Promise<T> {
  return withDeadline(answer, {
    milliseconds,
    timeoutError: () =>
      new VsockboxError({
        code: "TIMEOUT",
        operation: what,
        message: `no answer within ${milliseconds / 1000} s`,
        hint: hint ?? "the peer may be stopped, paused or overloaded",
      }),
    onGiveUp: (reason) => stream.abort(reason),
  });
}

/**
 * Awaits `promise`, but rejects after `milliseconds` with `timeoutError()`, or when the signal fires.
 * `onGiveUp` then ends the work that the promise stands for.
 */
export async function withDeadline<T>(
  promise: Promise<T>,
  options: {
    milliseconds?: number | undefined;
    signal?: AbortSignal | undefined;
    timeoutError: () => VsockboxError;
    onGiveUp: (reason: VsockboxError) => void;
  },
): Promise<T> {
  const { milliseconds, signal, timeoutError, onGiveUp } = options;
  const given = Promise.withResolvers<never>();
  const giveUp = (reason: VsockboxError) => {
    onGiveUp(reason);
    given.reject(reason);
  };
  using _abort = onAbort(signal, () => {
    if (signal !== undefined) giveUp(abortError(signal, "wait"));
  });
  const timer =
    milliseconds === undefined ? undefined : setTimeout(() => giveUp(timeoutError()), milliseconds);
  try {
    return await Promise.race([promise, given.promise]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => undefined);
  }
}
