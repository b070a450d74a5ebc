/**
 * Proves that the process that accepted a connection serves it. A kernel, and a VMM's device, accept connections for a
 * process that is stopped, so the connection alone proves nothing.
 */
import { clientHello, helloFrame } from "../channel/own-hello.ts";
import { VsockboxError } from "../../errors.ts";
import type { SocketAddress } from "../../net/address.ts";
import { dial, type DialOptions } from "../../net/dial.ts";
import { SilentCloseError } from "../../net/silent-close.ts";
import { WrongServiceError } from "../../net/wrong-service.ts";
import { withDeadline } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import { EXEC_PORT, READY_PORT } from "../ports.ts";
import { type AgentDialOptions, explainClosedHello, performHandshake } from "./handshake.ts";

/** Limit for a ready port to close a connection, in milliseconds. */
const READY_CLOSE_MS = 1000;

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

/** The connection's address, and how to connect to it again. */
export interface ReadyProbe extends AgentDialOptions {
  address: SocketAddress;
  /** Limit of the proof, in milliseconds. */
  timeoutMs: number;
}

/**
 * Waits for the proof on a new connection, which stays open for the caller. If there is a token, an
 * agent that is to answer a Hello must prove that it knows it, on a connection of its own.
 *
 * @throws {VsockboxError} TIMEOUT if it does not come within `timeoutMs`; UNAVAILABLE, BAD_DATA for a
 * listener on a Unix socket that is not an agent; REFUSED for the token; TRANSPORT; ABORTED.
 */
export async function proveReady(
  stream: SocketStream,
  proof: ReadyProof,
  { address, ...options }: ReadyProbe,
): Promise<void> {
  if (proof === "connection") return;
  if (proof === "hello" && options.token !== undefined) {
    const { connection } = await performHandshake(address, options);
    return connection.stream.close();
  }
  // Without a token: a refusal is an answer, too.
  const sent = proof === "hello" ? helloFrame(clientHello()) : undefined;
  if (sent !== undefined) stream.write(sent).catch(() => undefined);
  const answer = await withDeadline(readAnswer(stream, address, sent), {
    milliseconds: options.timeoutMs,
    signal: options.signal,
    timeoutError: () =>
      new VsockboxError({
        code: "TIMEOUT",
        operation: "reach the agent",
        message: "the connection was accepted, but no answer was received",
        errno: "ETIMEDOUT",
        hint: "the agent may be stopped or still starting, or another service may listen there",
      }),
    onGiveUp: (reason) => stream.abort(reason),
  });
  if (answer === "echo") throw new WrongServiceError(address, "echo", "agent");
  if (answer === "bytes" || address.kind !== "unix") return;
  const error = await explainClosedHello(address, options);
  if (error === undefined) return;
  // A hybrid-vsock listener waits for a line first; the ready port of an agent does not.
  const closesAtOnce = error instanceof SilentCloseError && (await closesUnasked(address, options));
  if (!closesAtOnce) throw error;
}

/** Whether a listener closes a connection on which nothing has been sent. */
async function closesUnasked(address: SocketAddress, options: DialOptions): Promise<boolean> {
  const stream = await dial(address, options);
  const silent = Promise.withResolvers<false>();
  const timer = setTimeout(() => silent.resolve(false), READY_CLOSE_MS);
  try {
    const closed = firstBytes(stream, address).then((bytes) => bytes === undefined);
    return await Promise.race([closed, silent.promise]);
  } finally {
    clearTimeout(timer);
    stream.abort();
  }
}

/** Reads until the answer differs from what was sent; no agent begins with that whole frame. */
async function readAnswer(
  stream: SocketStream,
  address: SocketAddress,
  sent: Uint8Array | undefined,
): Promise<"bytes" | "echo" | "closed"> {
  let unmatched = sent ?? new Uint8Array(0);
  for (;;) {
    const bytes = await firstBytes(stream, address);
    if (bytes === undefined) return "closed";
    const end = Math.min(bytes.length, unmatched.length);
    if (end === 0 || Buffer.compare(bytes.subarray(0, end), unmatched.subarray(0, end)) !== 0) {
      return "bytes";
    }
    unmatched = unmatched.subarray(end);
    if (unmatched.length === 0) return "echo";
  }
}

/** A listener on a Unix socket that has not read all of the Hello resets the connection. */
async function firstBytes(stream: SocketStream, address: SocketAddress) {
  try {
    return await stream.read();
  } catch (thrown) {
    const isReset = thrown instanceof VsockboxError && thrown.code === "TRANSPORT";
    if (address.kind === "unix" && isReset) return undefined;
    throw thrown;
  }
}
