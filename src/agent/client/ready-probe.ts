/**
 * Whether what accepted a connection is alive. A kernel, and a VMM's device, accept connections for a
 * process that is stopped, so the connection alone proves nothing.
 */
import { ownHelloFrame } from "../channel/own-hello.ts";
import { VsockboxError } from "../../errors.ts";
import type { SocketAddress } from "../../net/address.ts";
import { withDeadline } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import { EXEC_PORT, READY_PORT } from "../ports.ts";

/**
 * What proves that a peer is ready:
 *
 * - `close`: it closes the connection, as the ready port of every agent does
 * - `hello`: it answers a Hello, be it by closing the connection as the Go agent does
 * - `connection`: it accepts, since of an unknown service nothing else is known
 */
export type ReadyProof = "close" | "hello" | "connection";

/** Returns what proves that the service at an address is ready, by its port; undefined is the default. */
export function readyProofOf(address: SocketAddress): ReadyProof {
  if (address.kind === "unix") return "hello";
  const port = address.port ?? READY_PORT;
  if (port === READY_PORT) return "close";
  return port === EXEC_PORT ? "hello" : "connection";
}

/**
 * Waits for the proof on a new connection, and leaves the connection to the caller.
 *
 * @throws {VsockboxError} TIMEOUT where it does not come within `timeoutMs`; TRANSPORT; ABORTED.
 */
export async function proveReady(
  stream: SocketStream,
  proof: ReadyProof,
  { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<void> {
  if (proof === "connection") return;
  if (proof === "hello") stream.write(helloFrame()).catch(() => undefined);
  await withDeadline(stream.read(), {
    milliseconds: timeoutMs,
    signal,
    timeoutError: () =>
      new VsockboxError({
        code: "TIMEOUT",
        operation: "wait for the agent",
        message: "the connection was accepted, but nothing answers on it",
        errno: "ETIMEDOUT",
        hint: "the agent may be stopped or still starting, or another service may listen there",
      }),
    onGiveUp: (reason) => stream.abort(reason),
  });
}

/** Without a token: to be refused is an answer, too. */
function helloFrame(): Uint8Array {
  return ownHelloFrame();
}
