/**
 * Joins two connections so that each peer sees what it would see on one connection between them:
 *
 *   peer of one end        peer of the other end
 *   sends bytes            receives them, with backpressure
 *   half-closes            gets the end of input; the other direction goes on
 *   resets or disappears   gets the bytes that were sent before, then a reset
 *
 * An end is broken if its peer has reset it, if a read or write of it fails, or if it is a channel that was
 * closed with an error. The bytes that it received before are still delivered, for a limited time since
 * the reader may have stopped, and then both ends are reset. A clean end of input would make truncated
 * data look complete.
 */
import { toVsockboxError, type VsockboxError } from "../errors.ts";
import { type ByteSink, type ByteSource, lentChunks } from "./pump.ts";

/** Limit for delivering what a broken end has received, in milliseconds. */
const DELIVERY_LIMIT_MS = 5000;

/** One end of {@link joinConnections}. */
export interface ResettableConnection extends ByteSource, ByteSink {
  /** Resolves with the reason when the connection breaks. Stays pending if it ends cleanly. */
  readonly broken: Promise<VsockboxError>;
  /** Delivers the bytes of all writes so far, within `limitMs` milliseconds, then resets it. */
  reset(reason: VsockboxError, limitMs: number): Promise<void>;
}

/** The end that broke. */
interface Break {
  end: ResettableConnection;
  reason: VsockboxError;
}

/** Copies one direction with its end of input; returns the end that broke, if one did. */
async function carry(
  from: ResettableConnection,
  to: ResettableConnection,
): Promise<Break | undefined> {
  let end = from;
  try {
    for await (const chunk of lentChunks(from)) {
      end = to;
      await to.write(chunk);
      end = from;
    }
    end = to;
    await to.end();
    return undefined;
  } catch (thrown) {
    return { end, reason: toVsockboxError(thrown, "forward") };
  }
}

/**
 * Joins two connections until both directions have ended, or one end breaks. Never throws.
 *
 * @param limitMs limit for delivering what a broken end has received, in milliseconds.
 * @returns undefined if both directions have ended cleanly: the caller closes the connections; else why
 * they were reset.
 */
export async function joinConnections(
  a: ResettableConnection,
  b: ResettableConnection,
  limitMs: number = DELIVERY_LIMIT_MS,
): Promise<VsockboxError | undefined> {
  const outcome = Promise.withResolvers<Break | undefined>();
  const fromA = carry(a, b);
  const fromB = carry(b, a);
  for (const direction of [fromA, fromB]) {
    void direction.then((found) => {
      if (found !== undefined) outcome.resolve(found);
    });
  }
  for (const end of [a, b]) void end.broken.then((reason) => outcome.resolve({ end, reason }));
  void Promise.all([fromA, fromB]).then(() => outcome.resolve(undefined));
  const found = await outcome.promise;
  if (found === undefined) return undefined;
  const { end, reason } = found;
  const deadline = performance.now() + limitMs;
  await settledWithin(end === a ? fromA : fromB, limitMs);
  const restMs = Math.max(0, deadline - performance.now());
  await Promise.all([a.reset(reason, restMs), b.reset(reason, restMs)]);
  return reason;
}

/** Resolves when `work` has resolved, at the latest after `limitMs` milliseconds. */
async function settledWithin(work: Promise<unknown>, limitMs: number): Promise<void> {
  const limit = Promise.withResolvers<void>();
  const timer = setTimeout(limit.resolve, limitMs);
  await Promise.race([work, limit.promise]);
  clearTimeout(timer);
}
