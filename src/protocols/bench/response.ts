/**
 * The server's answer to each request of `request.ts`, 32 bytes, big-endian.
 *
 *   offset  bytes
 *        0      8  magic "VSBXBNAN"
 *        8      2  version of the server
 *       10      1  status, from 0 in the order of {@link RESPONSE_STATUSES}
 *       11      1  0
 *       12      4  the limit that the request exceeds: clients, or milliseconds
 *       16     16  the token of the test
 */
import { VsockboxError } from "../../errors.ts";
import { BENCH_VERSION, TOKEN_BYTES } from "./request.ts";

/** Length of an answer, in bytes. */
export const RESPONSE_BYTES = 32;

/**
 * How a request was answered:
 *
 * - `accepted`
 * - `version`: the server has another version of the protocol
 * - `busy`: as many clients as it serves are being served
 * - `too-long`: it ends tests earlier than that
 * - `unknown-test`: the token belongs to no running test
 * - `invalid`: the request cannot be read
 */
export const RESPONSE_STATUSES = [
  "accepted",
  "version",
  "busy",
  "too-long",
  "unknown-test",
  "invalid",
] as const;

/** One of {@link RESPONSE_STATUSES}. */
export type ResponseStatus = (typeof RESPONSE_STATUSES)[number];

/** An answer. */
export interface BenchResponse {
  version: number;
  /** Undefined for a status of a later version. */
  status: ResponseStatus | undefined;
  /** The limit of `busy` (clients) and `too-long` (milliseconds), otherwise 0. */
  limit: number;
  /** Of the test that begins, otherwise zeros. */
  token: Uint8Array;
}

const MAGIC = new TextEncoder().encode("VSBXBNAN");
const VERSION_OFFSET = 8;
const STATUS_OFFSET = 10;
const LIMIT_OFFSET = 12;
const TOKEN_OFFSET = 16;

/** Returns an answer as it goes over the wire. */
export function encodeBenchResponse(
  status: ResponseStatus,
  { limit = 0, token }: { limit?: number; token?: Uint8Array } = {},
): Uint8Array {
  const bytes = new Uint8Array(RESPONSE_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint16(VERSION_OFFSET, BENCH_VERSION);
  bytes[STATUS_OFFSET] = RESPONSE_STATUSES.indexOf(status);
  view.setUint32(LIMIT_OFFSET, limit);
  if (token !== undefined) bytes.set(token.subarray(0, TOKEN_BYTES), TOKEN_OFFSET);
  return bytes;
}

/**
 * Reads an answer.
 *
 * @throws {VsockboxError} BAD_DATA for bytes that are not one.
 */
export function decodeBenchResponse(bytes: Uint8Array): BenchResponse {
  if (bytes.length !== RESPONSE_BYTES || MAGIC.some((byte, index) => bytes[index] !== byte)) {
    throw new VsockboxError({
      code: "BAD_DATA",
      operation: "read the answer of the server",
      message: "it is not the answer of `vsockbox bench serve`",
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    version: view.getUint16(VERSION_OFFSET),
    status: RESPONSE_STATUSES[view.getUint8(STATUS_OFFSET)],
    limit: view.getUint32(LIMIT_OFFSET),
    token: bytes.slice(TOKEN_OFFSET),
  };
}
