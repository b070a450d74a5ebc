/** Connects to a peer that may not listen yet: repeated attempts with growing pauses. */
import { VsockboxError } from "../errors.ts";
import type { SocketAddress } from "./address.ts";
import { dial, type DialOptions } from "./dial.ts";
import { backoffDelay, delay, type Backoff } from "../io/deadline.ts";
import type { SocketStream } from "../io/stream.ts";

/** Pauses between attempts: a VM boots in tenths of a second or in tens of seconds. */
const BACKOFF: Backoff = { firstMs: 20, factor: 1.3, maxMs: 1000 };

/** Limit of one attempt, in milliseconds: a booting VM neither accepts nor refuses. */
const ATTEMPT_TIMEOUT_MS = 2000;

/** Limit of the check after a connect, in milliseconds. */
const CHECK_TIMEOUT_MS = 10_000;

/** Codes of the errors that are retried; all others are final. */
const RETRIED_CODES = new Set(["UNAVAILABLE", "TIMEOUT", "TRANSPORT"]);

/** Options of {@link dialWithRetry}. */
export interface RetryOptions extends DialOptions {
  /** Limit of all attempts together, in milliseconds; undefined: none. */
  timeoutMs: number | undefined;
  /** Checks a new connection within `timeoutMs`; if it throws, the attempt has failed. */
  check?: (stream: SocketStream, timeoutMs: number) => Promise<void>;
  /** Called after each failed attempt. */
  onFailed?: (error: VsockboxError) => void;
  /** Returns the error that is thrown when the time is up. */
  giveUp: (last: VsockboxError, tries: number) => VsockboxError;
}

/** A connection, and the number of attempts. */
export interface RetriedDial {
  stream: SocketStream;
  tries: number;
}

/**
 * Connects, with retries until the time is up.
 *
 * @throws {VsockboxError} the result of `giveUp`, or at once an error that is not retried.
 */
export async function dialWithRetry(
  address: SocketAddress,
  { timeoutMs = Infinity, check, onFailed, giveUp, ...options }: RetryOptions,
): Promise<RetriedDial> {
  const deadline = performance.now() + timeoutMs;
  for (let attempt = 0; ; attempt++) {
    const left = deadline - performance.now();
    try {
      const attemptMs = Math.max(1, Math.min(left, ATTEMPT_TIMEOUT_MS));
      const stream = await dial(address, { ...options, timeoutMs: attemptMs });
      await checkn(stream, check, Math.min(deadline - performance.now(), CHECK_TIMEOUT_MS));
      return { stream, tries: attempt + 1 };
    } catch (thrown) {
      if (!(thrown instanceof VsockboxError) || !RETRIED_CODES.has(thrown.code)) throw thrown;
      const pause = backoffDelay(BACKOFF, attempt);
      if (deadline - performance.now() <= pause) throw giveUp(thrown, attempt + 1);
      onFailed?.(thrown);
      await delay(pause, options.signal);
    }
  }
}

async function checkn(
  stream: SocketStream,
  check: RetryOptions["check"],
  timeoutMs: number,
): Promise<void> {
  try {
    await check?.(stream, Math.max(1, timeoutMs));
  } catch (thrown) {
    stream.abort();
    throw thrown;
  }
}
