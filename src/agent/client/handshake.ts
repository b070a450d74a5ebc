/** The host's side of the handshake: Hello, and the proofs that both sides know the token. */
import { clientHello, helloFrame } from "../channel/own-hello.ts";
import { VsockboxError } from "../../errors.ts";
import {
  formatAddress,
  type HybridAddress,
  type SocketAddress,
  type UnixAddress,
  type VsockAddress,
} from "../../net/address.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, dial, type DialOptions } from "../../net/dial.ts";
import { withDeadline } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import { explainSilentClose } from "../../net/silent-close.ts";
import { WrongServiceError } from "../../net/wrong-service.ts";
import { encodeProof, judgeAgent } from "../../protocols/agent/challenge.ts";
import {
  encodeJsonFrame,
  frameName,
  FrameType,
  MAX_UNAUTHENTICATED_FRAME_BYTES,
} from "../../protocols/agent/frame.ts";
import { decodeHello, type Hello, isEcho } from "../../protocols/agent/hello.ts";
import { readRefusal, type Refusal, type RefusalKind } from "../../protocols/agent/refused.ts";
import { recogniseService } from "../../protocols/recognise-service.ts";
import { printable } from "../../text/printable.ts";
import { EXEC_PORT, READY_PORT } from "../ports.ts";
import { FrameConnection } from "../channel/frame-connection.ts";
import { answersGoFrames } from "./go-probe.ts";
import { isProof, newNonce, proofOf } from "../channel/token-proof.ts";

/** How to reach an agent. */
export interface AgentDialOptions extends DialOptions {
  /** The secret of an agent that was started with `--token-file`. */
  token?: string | undefined;
  /** Between pings to an agent that is silent while an answer is due, in milliseconds; 0: none. */
  keepaliveMs?: number | undefined;
  /**
   * Sends the token in clear to an agent that does not know the challenge. Without it such an agent is
   * refused, since any process that listens in its place could ask for the token in this way.
   */
  allowsClearToken?: boolean | undefined;
}

/** Thrown for an agent that does not answer a Hello: it has only the Go agent's frames. */
export class OldAgentError extends VsockboxError {
  /** Hint at the address that was probably meant; undefined: none is more probable than this one. */
  readonly otherAddressHint: string | undefined;

  constructor(address: string, otherAddressHint?: string) {
    super({
      code: "UNAVAILABLE",
      operation: "start a session with",
      address,
      message: "it closed the connection: it is not a vsockbox agent, or an old one",
      hint:
        otherAddressHint ??
        "exec, shell, forward -L and cp of single files work with any agent; for the rest run `vsockbox agent` in the guest",
    });
    this.otherAddressHint = otherAddressHint;
  }
}

/**
 * Why an agent was not entered: its own refusal, or, on this side, an agent without a token, with another
 * one, or one that expects it in clear.
 */
export type RefusalReason = RefusalKind | "no-token" | "another-token" | "clear-token";

/** Thrown if the agent refuses this side, or this side the agent. */
export class AgentRefusedError extends VsockboxError {
  readonly refusal: RefusalReason;

  constructor(refusal: RefusalReason, details: { address: string; message: string; hint: string }) {
    super({ code: "REFUSED", operation: "start a session with", ...details });
    this.refusal = refusal;
  }
}

/** Thrown for an agent that expects the token in clear, or cannot prove that it knows it. */
class ClearTokenError extends AgentRefusedError {
  constructor(address: string) {
    super("clear-token", {
      address,
      message: "the agent cannot prove that it knows the token, and was not sent it",
      hint: "if it is an agent of vsockbox 0.1, --allow-clear-token sends it the token in clear; if it has no token, connect without one (--token-file '')",
    });
  }
}

/**
 * Returns whether an agent that has failed a handshake may be sent the Go agent's frames. With a token it may
 * not: without a Hello there is no proof of it, and another process may listen in place of the agent.
 */
export function mayUseGoFrames(
  thrown: unknown,
  { token }: Pick<AgentDialOptions, "token">,
): thrown is OldAgentError {
  return thrown instanceof OldAgentError && token === undefined;
}

/** A connection on which both sides have sent their Hello. */
export interface HandshakeResult {
  connection: FrameConnection;
  hello: Hello;
}

/**
 * Connects and exchanges Hello. With a token the agent has proved that it knows it, and has been sent
 * this side's proof, when this returns.
 *
 * @throws {OldAgentError} if the agent does not know Hello.
 * @throws {ClearTokenError} if it would have to be sent the token in clear, and that is not allowed.
 * @throws {VsockboxError} REFUSED (CID or token), TIMEOUT, and as `dial`.
 */
export async function performHandshake(
  address: SocketAddress,
  options: AgentDialOptions = {},
): Promise<HandshakeResult> {
  try {
    return await performHandshakeOnce(address, options, false);
  } catch (thrown) {
    if (!(thrown instanceof ClearTokenError) || options.allowsClearToken !== true) throw thrown;
    return performHandshakeOnce(address, options, true);
  }
}

async function performHandshakeOnce(
  address: SocketAddress,
  options: AgentDialOptions,
  sendsClearToken: boolean,
): Promise<HandshakeResult> {
  const stream = await dial(address, options);
  const connection = new FrameConnection(stream, {
    maxFrameBytes: MAX_UNAUTHENTICATED_FRAME_BYTES,
  });
  const shown = formatAddress(address);
  try {
    const exchange = sendsClearToken
      ? exchangeHello(connection, address, { token: options.token })
      : exchangeProofs(connection, address, options.token);
    const hello = await withDeadline(exchange, {
      milliseconds: options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
      signal: options.signal,
      timeoutError: () =>
        new VsockboxError({
          code: "TIMEOUT",
          operation: "start a session with",
          address: shown,
          message: "no answer in time",
          hint: "does an agent listen there?",
        }),
      onGiveUp: (reason) => stream.abort(reason),
    });
    options.onStep?.(`the agent, ${hello.version}, has answered`);
    return { connection, hello };
  } catch (thrown) {
    stream.abort();
    throw await explained(thrown, address, options, connection.head);
  }
}

/** Returns a more specific error if the first bytes, or a second connection, identify the peer. */
async function explained(
  thrown: unknown,
  address: SocketAddress,
  options: DialOptions,
  head: Uint8Array,
): Promise<unknown> {
  if (!(thrown instanceof VsockboxError) || thrown instanceof WrongServiceError) return thrown;
  const isOld = thrown instanceof OldAgentError;
  if (!isOld && thrown.code !== "BAD_DATA" && thrown.code !== "TIMEOUT") return thrown;
  const service = recogniseService(head);
  if (service !== undefined && service !== "agent") {
    return new WrongServiceError(address, service, "agent", thrown);
  }
  if (!isOld) return thrown;
  if (address.kind === "unix") return (await explainClosedHello(address, options)) ?? thrown;
  const hint = readyPortHint(address);
  return hint === undefined ? thrown : new OldAgentError(formatAddress(address), hint);
}

/**
 * Returns the error for a listener on a Unix socket that closes the connection for a Hello; undefined if
 * it is the Go agent.
 *
 * @throws {VsockboxError} ABORTED.
 */
export async function explainClosedHello(
  address: UnixAddress,
  options: DialOptions,
): Promise<VsockboxError | undefined> {
  if (await answersGoFrames(address, options)) return undefined;
  const expected = { service: "agent", port: EXEC_PORT, mayHaveServed: false } as const;
  return explainSilentClose(address, expected, options);
}

/** The hint for the ready port, at which each connection is closed without a byte. */
function readyPortHint(address: VsockAddress | HybridAddress): string | undefined {
  if (address.port !== READY_PORT) return undefined;
  const agent = formatAddress({ ...address, port: EXEC_PORT });
  return `port ${READY_PORT} only shows that the agent is ready; it is at ${agent}`;
}

/** Exchanges Hello, and proves the token in both directions if there is one. */
async function exchangeProofs(
  connection: FrameConnection,
  address: SocketAddress,
  token: string | undefined,
): Promise<Hello> {
  const shown = formatAddress(address);
  if (token === undefined) return exchangeHello(connection, address, {});
  const nonce = newNonce();
  const hello = await exchangeHello(connection, address, { nonce });
  const judgement = judgeAgent(hello, true);
  if (judgement.kind === "no token") throw noToken(shown);
  if (judgement.kind !== "verify") throw new ClearTokenError(shown);
  const nonces = { client: nonce, agent: judgement.agentNonce };
  if (!isProof(judgement.proof, token, "agent", nonces)) throw anotherToken(shown);
  const proof = encodeProof(proofOf(token, "client", nonces));
  await connection.sendEncoded(encodeJsonFrame(FrameType.Proof, proof));
  return hello;
}

async function exchangeHello(
  connection: FrameConnection,
  address: SocketAddress,
  secret: Partial<Pick<Hello, "token" | "nonce">>,
): Promise<Hello> {
  const shown = formatAddress(address);
  let stderrText = "";
  try {
    const own = clientHello(secret);
    await connection.sendEncoded(helloFrame(own));
    for (;;) {
      const frame = await connection.next();
      if (frame === undefined) break;
      if (frame.type === FrameType.Hello) {
        const hello = decodeHello(frame.payload);
        if (isEcho(own, hello)) throw new WrongServiceError(address, "echo", "agent");
        return hello;
      }
      if (frame.type !== FrameType.Stderr) {
        throw new VsockboxError({
          code: "BAD_DATA",
          operation: "start a session with",
          address: shown,
          message: `it answered with an unexpected ${frameName(frame.type)} frame`,
          hint: "does an agent listen there?",
        });
      }
      if (stderrText.length < 1024) stderrText += new TextDecoder().decode(frame.payload);
    }
  } catch (thrown) {
    if (!(thrown instanceof VsockboxError) || thrown.code !== "TRANSPORT") throw thrown;
  }
  const refusal = readRefusal(stderrText);
  // An agent that answers a nonce like this is one of version 0.1, which expects the token itself.
  const wantsClearToken = secret.nonce !== undefined && refusal?.kind === "token-missing";
  if (wantsClearToken) throw new ClearTokenError(shown);
  throw refusal === undefined ? new OldAgentError(shown) : refusalError(refusal, shown);
}

function noToken(address: string): VsockboxError {
  return new AgentRefusedError("no-token", {
    address,
    message: "the agent has no token, so it may not be the one that is meant",
    hint: "start the agent with --token-file, or connect without a token (--token-file '')",
  });
}

function anotherToken(address: string): VsockboxError {
  return new AgentRefusedError("another-token", {
    address,
    message: "the agent does not know the token, or it is another one",
    hint: "compare the token files of both sides; if they are equal, another process listens there",
  });
}

/**
 * Returns the error for an agent that refuses the connection, by its Stderr text; undefined for other
 * text.
 *
 * @param address of the agent, as errors show it.
 */
export function refusedBy(stderrText: string, address: string): VsockboxError | undefined {
  const refusal = readRefusal(stderrText);
  return refusal && refusalError(refusal, address);
}

function refusalError({ kind, text }: Refusal, address: string): VsockboxError {
  return new AgentRefusedError(kind, {
    address,
    message: printable(text),
    hint: refusalHint(kind),
  });
}

function refusalHint(kind: RefusalKind): string {
  switch (kind) {
    case "token":
    case "token-missing":
      return "name the file of the agent's token: --token-file FILE, or token_file in the VM's profile";
    case "sessions":
      return "try again later, or start the agent with more";
    case "cid":
      return "start the agent with --allow-cid naming this side's CID (1 for the same machine, 2 for the host)";
  }
}

/**
 * Connects for one of the modes that begin without a Hello; with a token the handshake comes first, to
 * prove it.
 *
 * @throws {VsockboxError} as `dial` and {@link performHandshake}.
 */
export async function dialAgent(
  address: SocketAddress,
  options: AgentDialOptions = {},
): Promise<SocketStream> {
  if (options.token === undefined) return dial(address, options);
  const { connection } = await performHandshake(address, options);
  return connection.detach();
}
