/**
 * Proves that the process that accepted a connection serves it. A kernel, and a VMM's device, accept connections for a
 * process that is stopped, so the connection alone proves nothing.
 */
import { ownHelloFrame } from "../channel/own-hello.ts";
import { VsockboxError } from "../../errors.ts";
import type { SocketAddress } from "../../net/address.ts";
import { withDeadline } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import { EXEC_PORT, READY_PORT } from "../ports.ts";

/**
 * Proof that a peer is ready:
 *
 * - `close`: it closes the connection, as the ready port of every agent does
 * - `hello`: it answers a Hello, or closes the connection after it, as the Go agent does
 * - `connection`: it accepts the connection, since nothing else is known of an unknown service
 */
export type ReadyProof = "close" | "hello" | "connection";

/** Returns the proof that the service at an address is ready, by its port (default: the ready port). */
export function readyProofOf(address: SocketAddress): ReadyProof {
  if (address.kind === "unix") return "hello";
  const port = address.port ?? READY_PORT;
  if (port === READY_PORT) return "close";
  return port === EXEC_PORT ? "hello" : "connection";
}

/**
 * Waits for the proof on a new connection, which the caller closes.
 *
 * @throws {VsockboxError} TIMEOUT if it does not come within `timeoutMs`; TRANSPORT; ABORTED.
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

/** A Hello without a token: a refusal is an answer, too. */
function helloFrame(): Uint8Array {
  return ownHelloFrame();
}
