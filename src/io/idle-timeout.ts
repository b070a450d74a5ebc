/** Ending connections over which nothing goes. */
import { VsockboxError } from "../errors.ts";
import type { SocketStream } from "./stream.ts";

/** How often connections are looked at for traffic, in milliseconds. */
const IDLE_CHECK_MS = 1000;

/**
 * Aborts a stream over which nothing came or went for so long; undefined: never.
 *
 * @returns the timer, to be cleared when the stream is done with.
 */
export function watchIdle(
  stream: SocketStream,
  idleTimeoutMs: number | undefined,
): Timer | undefined {
  if (idleTimeoutMs === undefined) return undefined;
  const timer = setInterval(
    () => {
      if (performance.now() - stream.lastTraffic < idleTimeoutMs) return;
      stream.abort(
        new VsockboxError({
          code: "TIMEOUT",
          operation: "serve",
          message: `nothing came or went for ${idleTimeoutMs / 1000} seconds`,
        }),
      );
    },
    Math.min(IDLE_CHECK_MS, idleTimeoutMs),
  );
  timer.unref();
  return timer;
}
