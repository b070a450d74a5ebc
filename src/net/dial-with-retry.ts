/** Connecting to somebody who may still be on the way: again and again, with growing pauses. */
import { VsockboxError } from "../errors.ts";
import type { SocketAddress } from "./address.ts";
import { dial, type DialOptions } from "./dial.ts";
import { backoffDelay, delay, type Backoff } from "../io/deadline.ts";
import type { SocketStream } from "../io/stream.ts";

/** Pauses between tries: a machine boots in tenths of a second or in tens of seconds. */
const BACKOFF: Backoff = { firstMs: 20, factor: 1.3, maxMs: 1000 };

/** A single try may take this long: a machine that boots accepts nothing and refuses nothing. */
const ATTEMPT_TIMEOUT_MS = 2000;

/** What follows the connection in a single try may take this long, in milliseconds. */
const PROOF_TIMEOUT_MS = 10_000;

/** Errors that somebody who is still on the way gives; all others will not go away. */
const STILL_COMING = new Set(["UNAVAILABLE", "TIMEOUT", "TRANSPORT"]);

/** Options of {@link dialPatiently}. */
export interface PatienceOptions extends DialOptions {
  /** For all tries together, in milliseconds; undefined: without end. */
  timeoutMs: number | undefined;
  /** Checks a new connection within so many milliseconds; an error of it is a failed try. */
  prove?: (stream: SocketStream, timeoutMs: number) => Promise<void>;
  /** Called after each try that failed. */
  onFailed?: (error: VsockboxError) => void;
  /** The error for when time has run out, after so many tries. */
  giveUp: (last: VsockboxError, tries: number) => VsockboxError;
}

/** A connection, and how many tries it took. */
export interface PatientDial {
  stream: SocketStream;
  tries: number;
}

/**
 * Tries to connect until it works.
 *
 * @throws {VsockboxError} what `giveUp` makes, or at once an error that waiting does not mend.
 */
export async function dialPatiently(
  address: SocketAddress,
  { timeoutMs = Infinity, prove, onFailed, giveUp, ...options }: PatienceOptions,
): Promise<PatientDial> {
  const deadline = performance.now() + timeoutMs;
  for (let attempt = 0; ; attempt++) {
    const left = deadline - performance.now();
    try {
      const attemptMs = Math.max(1, Math.min(left, ATTEMPT_TIMEOUT_MS));
      const stream = await dial(address, { ...options, timeoutMs: attemptMs });
      await proven(stream, prove, Math.min(deadline - performance.now(), PROOF_TIMEOUT_MS));
      return { stream, tries: attempt + 1 };
    } catch (thrown) {
      if (!(thrown instanceof VsockboxError) || !STILL_COMING.has(thrown.code)) throw thrown;
      const pause = backoffDelay(BACKOFF, attempt);
      if (deadline - performance.now() <= pause) throw giveUp(thrown, attempt + 1);
      onFailed?.(thrown);
      await delay(pause, options.signal);
    }
  }
}

async function proven(
  stream: SocketStream,
  prove: PatienceOptions["prove"],
  timeoutMs: number,
): Promise<void> {
  try {
    await prove?.(stream, Math.max(1, timeoutMs));
  } catch (thrown) {
    stream.abort();
    throw thrown;
  }
}
