/** The first exchange between two vsockbox ends (type 64), and errors and results on a channel. */
import { foreignOperation } from "../../operations.ts";
import { type ErrorCode, EXIT_STATUS, VsockboxError } from "../../errors.ts";
import { printable } from "../../text/printable.ts";
import { encodeBase64 } from "./base64.ts";
import { CHALLENGE_FEATURE, NONCE_BYTES, PROOF_BYTES, readFixedBytes } from "./challenge.ts";
import { START_FAILURE_KINDS, START_STAGES, StartError } from "../../start-error.ts";
import {
  badField,
  field,
  type JsonObject,
  parseObject,
  integerField,
  readString,
  readStrings,
} from "./json-fields.ts";

/** The feature of an agent that answers the request `metrics`. */
export const METRICS_FEATURE = "metrics";

/** The feature of an agent that lists its connections. */
export const CONNECTIONS_FEATURE = "connections";

/** The feature of an agent that watches files. */
export const WATCH_FEATURE = "watch";

/** The feature of an agent that removes files beneath a directory without following links. */
export const REMOVE_BENEATH_FEATURE = "remove-beneath";

/** The feature of an agent that mounts a directory of the host. */
export const MOUNT_FEATURE = "mount";

/** The feature of an agent that sends a part of the output of a session, with times: output-records.ts. */
export const LOG_PARTS_FEATURE = "log-parts";

/** Counts incompatible changes of what follows a Hello. */
export const PROTOCOL_VERSION = 1;

/** The feature of an agent that resolves home directories. */
export const HOME_FEATURE = "home";

/** What a side can do beyond the frames of the Go agent; names never change their meaning. */
export const FEATURES = [
  "channels",
  "exec",
  "detach",
  "files",
  "tree",
  "resume",
  "dial",
  "listen",
  "info",
  "power",
  "sandbox",
  // Sandbox options beyond the first four, and limits.
  "sandbox-kernel",
  CHALLENGE_FEATURE,
  "argv",
  "terminal-modes",
  HOME_FEATURE,
  // Attach passes the end of input on, if the client asks for it.
  "attach-half-close",
  METRICS_FEATURE,
  CONNECTIONS_FEATURE,
  WATCH_FEATURE,
  REMOVE_BENEATH_FEATURE,
  MOUNT_FEATURE,
  LOG_PARTS_FEATURE,
] as const;

/** The Hello of either side. */
export interface Hello {
  protocol: number;
  /** The program's name and version, for people. */
  version: string;
  features: readonly string[];
  /** Initial credit of each new channel, granted by the sender of this Hello, in bytes. */
  window: number;
  /** The shared secret in clear; only from clients of version 0.1. */
  token: string | undefined;
  /** Random bytes for this connection, from a side that knows a token: challenge.ts. */
  nonce?: Uint8Array | undefined;
  /** Proof that the agent knows the token. */
  proof?: Uint8Array | undefined;
  /** Random bytes of a client for this connection; an agent never sends them, see {@link isEcho}. */
  connectionId?: Uint8Array | undefined;
}

/** Bytes of `connectionId`. */
export const CONNECTION_ID_BYTES = 16;

/**
 * Whether the answer to a client's Hello is that Hello: the peer is then an echo service. All other
 * fields of an agent's Hello may have the same values as the client's.
 */
export function isEcho({ connectionId: own }: Hello, { connectionId: answered }: Hello): boolean {
  if (own === undefined || answered === undefined) return false;
  return own.length === answered.length && own.every((byte, index) => byte === answered[index]);
}

/** Smallest window: the largest Data frame and any record must fit into it. */
const MIN_WINDOW_BYTES = 512 * 1024;

/** A version that people read. */
const VERSION_LENGTH = { maxCharacters: 100 };

/**
 * Reads a Hello.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeHello(payload: Uint8Array): Hello {
  const what = "Hello";
  const object = parseObject(what, payload);
  const window = integerField(what, object, "window", 0x7fff_ffff) ?? MIN_WINDOW_BYTES;
  if (window < MIN_WINDOW_BYTES) {
    throw badField(what, `a window of ${window} bytes is below ${MIN_WINDOW_BYTES}`);
  }
  return {
    protocol: integerField(what, object, "protocol", 0xffff) ?? 0,
    version: printable(readString(what, object, "version") ?? "unknown", VERSION_LENGTH),
    features: readStrings(what, object, "features"),
    window,
    token: readString(what, object, "token"),
    nonce: readFixedBytes(what, object, "nonce", NONCE_BYTES),
    proof: readFixedBytes(what, object, "proof", PROOF_BYTES),
    connectionId: readFixedBytes(what, object, "connection_id", CONNECTION_ID_BYTES),
  };
}

/** The Hello as JSON value. */
export function encodeHello(hello: Hello): JsonObject {
  const { protocol, version, features, window, token, nonce, proof, connectionId } = hello;
  return {
    protocol,
    version,
    features,
    window,
    ...(token === undefined ? {} : { token }),
    ...(nonce === undefined ? {} : { nonce: encodeBase64(nonce) }),
    ...(proof === undefined ? {} : { proof: encodeBase64(proof) }),
    ...(connectionId === undefined ? {} : { connection_id: encodeBase64(connectionId) }),
  };
}

/** An error as it goes over a channel. */
export function encodeError(error: VsockboxError): JsonObject {
  const { code, operation, message, errno, hint } = error;
  return {
    error: {
      code,
      operation,
      message,
      ...(errno === undefined ? {} : { errno }),
      ...(hint === undefined ? {} : { hint }),
      ...(error instanceof StartError ? { kind: error.kind, stage: error.stage } : {}),
    },
  };
}

/** Converts an error of the peer into one of ours; undefined if the value has none. */
export function decodeError(value: JsonObject): VsockboxError | undefined {
  const error = field(value, "error");
  if (typeof error !== "object" || error === null) return undefined;
  const text = (name: string) => {
    const found = field(error as JsonObject, name);
    return typeof found === "string" ? printable(found) : undefined;
  };
  const code = text("code") ?? "";
  const details = {
    operation: foreignOperation(text("operation") ?? "serve"),
    // It names the operation and its object already.
    text: text("message") ?? "failed",
    errno: text("errno"),
    hint: text("hint"),
  };
  const kind = START_FAILURE_KINDS.find((known) => known === text("kind"));
  const stage = START_STAGES.find((known) => known === text("stage"));
  if (code === "NOT_STARTED" || (kind !== undefined && stage !== undefined)) {
    return new StartError({ ...details, kind: kind ?? "resources", stage: stage ?? "process" });
  }
  return new VsockboxError({
    ...details,
    code: Object.hasOwn(EXIT_STATUS, code) ? (code as ErrorCode) : "IO",
  });
}
