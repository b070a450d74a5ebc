/** The agent's side of the handshake: Hello, and the proofs that both sides know the token. */
import { agentHello, helloFrame } from "../channel/own-hello.ts";
import { VsockboxError } from "../../errors.ts";
import { admit, decodeProof } from "../../protocols/agent/challenge.ts";
import { encodeFileResponse } from "../../protocols/agent/file-messages.ts";
import {
  encodeJsonFrame,
  type Frame,
  FrameTooLargeError,
  FrameType,
  isGoRequestType,
  MAX_UNAUTHENTICATED_FRAME_BYTES,
} from "../../protocols/agent/frame.ts";
import { NoSessionError } from "../../protocols/agent/first-frame.ts";
import { decodeHello, type Hello } from "../../protocols/agent/hello.ts";
import { encodeExecResponse } from "../../protocols/agent/messages.ts";
import { refusalMessage } from "../../protocols/agent/refused.ts";
import type { FrameConnection } from "../channel/frame-connection.ts";
import { isProof, isToken, newNonce, proofOf } from "../channel/token-proof.ts";

/** The token of an agent, and which of its exchanges are accepted. */
export interface TokenPolicy {
  /** Undefined: none is expected. */
  readonly token: string | undefined;
  /** Whether clients of version 0.1, which send the token itself, are accepted. */
  readonly acceptsClearToken: boolean;
  /** Largest frame of a client that may be served, in bytes. */
  readonly maxFrameBytes: number;
}

/**
 * Returns the largest frame that is accepted before a client has proved the token, in bytes. Without a
 * token the first frame may be a request of the Go agent's host, with a whole file in it.
 */
export function firstFrameLimit({ token, maxFrameBytes }: TokenPolicy): number {
  return token === undefined
    ? maxFrameBytes
    : Math.min(maxFrameBytes, MAX_UNAUTHENTICATED_FRAME_BYTES);
}

/** A connection that may be served. */
export interface Greeted {
  /** The frame that begins its session. */
  next: Frame;
  /** The client's Hello; undefined for a client that sends none. */
  hello: Hello | undefined;
  /** Whether the token was sent in clear. */
  tokenWasClear: boolean;
}

/** A client that may not be served. Unless it has been answered already, a Stderr frame answers it. */
export class RefusedClientError extends VsockboxError {
  /** Reason, for the log. */
  readonly loggedReason: string;
  /** Whether the client has been answered in the frames of its mode. */
  readonly isAnswered: boolean;

  constructor(reason: string, isAnswered = false) {
    super({ code: "REFUSED", operation: "accept", message: refusalMessage(reason) });
    this.loggedReason = reason;
    this.isAnswered = isAnswered;
  }
}

/**
 * Reads and answers everything up to the frame that begins a session.
 *
 * @returns undefined if the client closed before that.
 * @throws {RefusedClientError} for a client that does not know the token.
 * @throws {VsockboxError} BAD_DATA, TRANSPORT.
 */
export async function greetClient(
  connection: FrameConnection,
  policy: TokenPolicy,
): Promise<Greeted | undefined> {
  const first = await readFirstFrame(connection, policy);
  if (first === undefined) return undefined;
  if (first.type !== FrameType.Hello) return greetModeClient(connection, first, policy);
  const hello = decodeHello(first.payload);
  const tokenWasClear = await exchangeHello(connection, hello, policy);
  connection.limitFrames(policy.maxFrameBytes);
  const next = await connection.next();
  return next === undefined ? undefined : { next, hello, tokenWasClear };
}

async function readFirstFrame(
  connection: FrameConnection,
  { token }: TokenPolicy,
): Promise<Frame | undefined> {
  try {
    return await connection.next();
  } catch (thrown) {
    const isRequest =
      thrown instanceof NoSessionError ||
      (thrown instanceof FrameTooLargeError && thrown.frameType !== FrameType.Hello);
    if (token === undefined || !isRequest) throw thrown;
    return refuseRequest(connection, thrown.frameType);
  }
}

/** A client that begins with one of the Go agent's frames. */
async function greetModeClient(
  connection: FrameConnection,
  first: Frame,
  { token }: TokenPolicy,
): Promise<Greeted> {
  if (token !== undefined) return refuseRequest(connection, first.type);
  return { next: first, hello: undefined, tokenWasClear: false };
}

async function refuseRequest(connection: FrameConnection, type: Frame["type"]): Promise<never> {
  const reason = "this agent expects a token, and a client that proves it first (--token-file)";
  const isAnswered = await answerInMode(connection, type, new RefusedClientError(reason));
  throw new RefusedClientError(reason, isAnswered);
}

/** Answers a Hello; returns whether the token came in clear. */
async function exchangeHello(
  connection: FrameConnection,
  { nonce, token: clearToken }: Hello,
  { token, acceptsClearToken }: TokenPolicy,
): Promise<boolean> {
  const admission = admit(
    { nonce, token: clearToken },
    { tokenIsExpected: token !== undefined, acceptsClearToken },
  );
  if (admission.kind === "refuse") throw new RefusedClientError(admission.reason);
  if (token === undefined || admission.kind === "open") {
    await sendHello(connection);
    return false;
  }
  if (admission.kind === "clear") {
    if (!isToken(admission.token, token)) throw new RefusedClientError("the token is wrong");
    await sendHello(connection);
    return true;
  }
  await challenge(connection, token, admission.clientNonce);
  return false;
}

/** Proves the token to the client, and reads its proof. */
async function challenge(
  connection: FrameConnection,
  token: string,
  clientNonce: Uint8Array,
): Promise<void> {
  const nonces = { client: clientNonce, agent: newNonce() };
  const proof = proofOf(token, "agent", nonces);
  await sendHello(connection, { nonce: nonces.agent, proof });
  const answer = await connection.next();
  if (answer?.type !== FrameType.Proof) {
    throw new RefusedClientError("the client did not prove that it knows the token");
  }
  if (!isProof(decodeProof(answer.payload), token, "client", nonces)) {
    throw new RefusedClientError("the token is wrong");
  }
}

function sendHello(
  connection: FrameConnection,
  proof: Pick<Hello, "nonce" | "proof"> = {},
): Promise<void> {
  return connection.sendEncoded(helloFrame(agentHello(proof)));
}

/**
 * Refuses in the frames that the mode's client reads.
 *
 * @returns false for a mode whose client reads Stderr frames.
 */
async function answerInMode(
  connection: FrameConnection,
  type: Frame["type"],
  { message: error }: VsockboxError,
): Promise<boolean> {
  if (!isGoRequestType(type)) return false;
  const none = new Uint8Array(0);
  switch (type) {
    case FrameType.Exec: {
      const json = encodeExecResponse({ exitCode: 1, stdout: none, stderr: none, error });
      await connection.sendEncoded(encodeJsonFrame(FrameType.ExecResult, json));
      return true;
    }
    case FrameType.WriteFile:
    case FrameType.ReadFile:
    case FrameType.ListFiles: {
      const json = encodeFileResponse({ error });
      await connection.sendEncoded(encodeJsonFrame(FrameType.FileResult, json));
      return true;
    }
    case FrameType.ExecStream:
    case FrameType.ExecPipe:
    case FrameType.ExecTTY:
    case FrameType.PortForward:
      return false;
  }
}
