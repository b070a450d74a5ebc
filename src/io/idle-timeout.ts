/** Aborts connections without traffic. */
import { VsockboxError } from "../errors.ts";
import type { SocketStream } from "./stream.ts";

/** Interval at which connections are checked for traffic, in milliseconds. */
const IDLE_CHECK_MS = 1000;

/**
 * Aborts a stream that had no traffic in either direction for `idleTimeoutMs`; undefined: never.
 *
 * @returns the timer, which the caller clears at the end of the stream.
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
          message: `no bytes were transferred for ${idleTimeoutMs / 1000} seconds`,
        }),
      );
    },
    Math.min(IDLE_CHECK_MS, idleTimeoutMs),
  );
  timer.unref();
  return timer;
}
