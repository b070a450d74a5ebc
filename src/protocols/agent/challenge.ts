/**
 * How the two ends of a connection prove to each other that they know the same token, without sending
 * it. HMAC-SHA256 (RFC 2104) is computed by the caller; here are its inputs and the decisions.
 *
 *     client -> agent   Hello { nonce }           32 random bytes of the client; no token
 *     agent  -> client  Hello { nonce, proof }    32 random bytes of the agent; HMAC for role "agent"
 *     client -> agent   Proof { proof }           HMAC for role "client", only if the agent's is right
 *
 * Both proofs cover both nonces, so that a recording is of no use for another connection, and the
 * role, so that a proof cannot be sent back to the side that it came from. The agent goes first: a
 * process that listens in an agent's place learns a nonce and nothing else. The client's next frame
 * follows its proof without waiting; a wrong proof ends the connection before that frame is read.
 *
 * Limits: a process that relays every byte between the two ends unchanged sees and can
 * change what follows, as nothing on the connection is encrypted. A token that can be guessed can be
 * guessed offline from a nonce and a proof: it should be 32 random bytes.
 *
 * Clients up to version 0.1 send the token itself in their Hello, agents up to that version expect it
 * there; see {@link admit} and {@link judgeAgent}.
 */
import { decodeBase64, encodeBase64 } from "./base64.ts";
import { badField, type JsonObject, parseObject, readString } from "./json-fields.ts";
import { TOKEN_MISSING_TEXT } from "./refused.ts";

/** Bytes of each nonce. */
export const NONCE_BYTES = 32;

/** Bytes of a proof: one SHA-256. */
export const PROOF_BYTES = 32;

/** Announced in Hello by a side that knows this exchange. */
export const CHALLENGE_FEATURE = "challenge";

/** Which end a proof is of. */
export type ProofRole = "agent" | "client";

/** The random bytes of both ends. */
export interface Nonces {
  client: Uint8Array;
  agent: Uint8Array;
}

/** Returns the bytes whose HMAC under the token is the proof of `role`. */
export function proofInput(role: ProofRole, { client, agent }: Nonces): Uint8Array {
  const label = new TextEncoder().encode(`vsockbox agent token v1 ${role}\0`);
  const input = new Uint8Array(label.length + client.length + agent.length);
  input.set(label);
  input.set(client, label.length);
  input.set(agent, label.length + client.length);
  return input;
}

/**
 * Reads a field of exactly `length` bytes in base64.
 *
 * @returns undefined if the field is missing.
 * @throws {VsockboxError} BAD_DATA.
 */
export function readFixedBytes(
  what: string,
  object: JsonObject,
  name: string,
  length: number,
): Uint8Array | undefined {
  const text = readString(what, object, name);
  if (text === undefined) return undefined;
  const bytes = decodeBase64(text);
  if (bytes?.length !== length) throw badField(what, `${name} is not ${length} bytes in base64`);
  return bytes;
}

/**
 * Reads the payload of a Proof frame.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeProof(payload: Uint8Array): Uint8Array {
  const what = "Proof";
  const proof = readFixedBytes(what, parseObject(what, payload), "proof", PROOF_BYTES);
  if (proof === undefined) throw badField(what, "proof is missing");
  return proof;
}

/** Returns a Proof as a JSON value. */
export function encodeProof(proof: Uint8Array): JsonObject {
  return { proof: encodeBase64(proof) };
}

/** What an agent does with a client's Hello. */
export type Admission =
  /** No token is expected. */
  | { kind: "open" }
  /** The agent proves its knowledge of the token, and expects the client's proof. */
  | { kind: "challenge"; clientNonce: Uint8Array }
  /** A client of version 0.1: its token is compared. */
  | { kind: "clear"; token: string }
  | { kind: "refuse"; reason: string };

/** The fields of a client's Hello that decide. */
export interface ClientGreeting {
  token?: string | undefined;
  nonce?: Uint8Array | undefined;
}

/** The fields of an agent's Hello that decide. */
export interface AgentGreeting {
  features: readonly string[];
  nonce?: Uint8Array | undefined;
  proof?: Uint8Array | undefined;
}

/** Decides about a client's Hello; `tokenIsExpected`: the agent has one. */
export function admit(
  { nonce, token }: ClientGreeting,
  { tokenIsExpected, acceptsClearToken }: { tokenIsExpected: boolean; acceptsClearToken: boolean },
): Admission {
  if (!tokenIsExpected) return { kind: "open" };
  if (nonce !== undefined) return { kind: "challenge", clientNonce: nonce };
  if (token === undefined) return { kind: "refuse", reason: TOKEN_MISSING_TEXT };
  if (acceptsClearToken) return { kind: "clear", token };
  return {
    kind: "refuse",
    reason: "the token was sent in clear, which this agent does not accept",
  };
}

/** What a client does with an agent's Hello. */
export type AgentJudgement =
  /** This client has no token: nothing is proved. */
  | { kind: "open" }
  /** The agent's proof is to be compared, then the client's own sent. */
  | { kind: "verify"; agentNonce: Uint8Array; proof: Uint8Array }
  /** It knows the exchange and has no token. */
  | { kind: "no token" }
  /** It is of a version that does not know the exchange. */
  | { kind: "old" };

/** Decides about an agent's Hello; `hasToken`: this client has one. */
export function judgeAgent(
  { nonce, proof, features }: AgentGreeting,
  hasToken: boolean,
): AgentJudgement {
  if (!hasToken) return { kind: "open" };
  if (nonce !== undefined && proof !== undefined) {
    return { kind: "verify", agentNonce: nonce, proof };
  }
  return { kind: features.includes(CHALLENGE_FEATURE) ? "no token" : "old" };
}
