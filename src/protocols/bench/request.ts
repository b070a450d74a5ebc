/**
 * The first bytes of each connection of `vsockbox bench`: the client sends a request of 48 bytes, and the
 * server answers with 32 (`response.ts`). All numbers are big-endian.
 *
 *   offset  bytes
 *        0      8  magic "VSBXBNRQ"
 *        8      2  version
 *       10      1  kind: 1 control, 2 data, 3 connect
 *       11      1  control: the test, from 1 in the order of {@link BENCH_TESTS}
 *       12      4  control: bytes of a message
 *       16      2  control: number of streams
 *       18      2  data: number of the stream, from 0
 *       20      4  control: duration in milliseconds; 0 if bytes, round trips or connects are the limit
 *       24      8  control: bytes that each sender sends on a stream; 0 without such a limit
 *       32     16  data, connect: the token of the answer to the control request
 *
 * A test has one connection with a control request, on which the messages of `control.ts` follow, and one
 * with a data request for each stream. Magic and version stay in their place in every version.
 */
import { VsockboxError } from "../../errors.ts";

/** The version of this file. */
export const BENCH_VERSION = 1;

/** Length of a request, in bytes. */
export const REQUEST_BYTES = 48;

/** Length of a token, in bytes. */
export const TOKEN_BYTES = 16;

/** The maximum number of streams of a test. */
export const MAX_STREAMS = 64;

/** The longest message, in bytes. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

/** What can be measured; the wire has the position in this list, from 1. */
export const BENCH_TESTS = ["upload", "download", "both", "latency", "connects"] as const;

/** One of {@link BENCH_TESTS}. */
export type BenchTest = (typeof BENCH_TESTS)[number];

/** Begins a test. */
export interface TestRequest {
  kind: "control";
  test: BenchTest;
  /** At least 1. */
  streams: number;
  /** At least 1. */
  messageBytes: number;
  /** 0: the client ends the test. */
  durationMs: number;
  /** Of each sender of a stream; 0: no limit. */
  limitBytes: number;
}

/** A stream of a test. */
export interface DataRequest {
  kind: "data";
  token: Uint8Array;
  stream: number;
}

/** A connection of the test "connects", which the client closes after the answer. */
export interface ConnectRequest {
  kind: "connect";
  token: Uint8Array;
}

/** A request of another version of the protocol. */
export interface OtherVersion {
  kind: "other-version";
  version: number;
}

/** A request that can be encoded. */
export type BenchRequest = TestRequest | DataRequest | ConnectRequest;

const MAGIC = new TextEncoder().encode("VSBXBNRQ");
const KINDS = ["control", "data", "connect"] as const;

const VERSION_OFFSET = 8;
const KIND_OFFSET = 10;
const TEST_OFFSET = 11;
const MESSAGE_OFFSET = 12;
const STREAMS_OFFSET = 16;
const STREAM_OFFSET = 18;
const DURATION_OFFSET = 20;
const LIMIT_OFFSET = 24;
const TOKEN_OFFSET = 32;

/** Returns a request as it goes over the wire. */
export function encodeBenchRequest(request: BenchRequest): Uint8Array {
  const bytes = new Uint8Array(REQUEST_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint16(VERSION_OFFSET, BENCH_VERSION);
  bytes[KIND_OFFSET] = KINDS.indexOf(request.kind) + 1;
  if (request.kind === "control") {
    bytes[TEST_OFFSET] = BENCH_TESTS.indexOf(request.test) + 1;
    view.setUint32(MESSAGE_OFFSET, request.messageBytes);
    view.setUint16(STREAMS_OFFSET, request.streams);
    view.setUint32(DURATION_OFFSET, request.durationMs);
    view.setBigUint64(LIMIT_OFFSET, BigInt(request.limitBytes));
    return bytes;
  }
  if (request.kind === "data") view.setUint16(STREAM_OFFSET, request.stream);
  bytes.set(request.token, TOKEN_OFFSET);
  return bytes;
}

/** Whether the first bytes of a connection, any number of them, can be those of a request. */
export function mayBeRequest(head: Uint8Array): boolean {
  return MAGIC.every((byte, index) => index >= head.length || head[index] === byte);
}

/**
 * Reads a request.
 *
 * @param bytes {@link REQUEST_BYTES} of them.
 * @throws {VsockboxError} BAD_DATA for bytes that are not a request, or values beyond the limits.
 */
export function decodeBenchRequest(bytes: Uint8Array): BenchRequest | OtherVersion {
  if (bytes.length !== REQUEST_BYTES) throw badRequest(`it has ${bytes.length} bytes`);
  if (!mayBeRequest(bytes)) throw badRequest("the magic is wrong");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const version = view.getUint16(VERSION_OFFSET);
  if (version !== BENCH_VERSION) return { kind: "other-version", version };
  const kind = KINDS[view.getUint8(KIND_OFFSET) - 1];
  const token = bytes.slice(TOKEN_OFFSET);
  switch (kind) {
    case "control":
      return decodeControl(view);
    case "data":
      return { kind, token, stream: inRange(view.getUint16(STREAM_OFFSET), 0, MAX_STREAMS - 1) };
    case "connect":
      return { kind, token };
    default:
      throw badRequest("the kind is unknown");
  }
}

function decodeControl(view: DataView): TestRequest {
  const test = BENCH_TESTS[view.getUint8(TEST_OFFSET) - 1];
  if (test === undefined) throw badRequest("the test is unknown");
  return {
    kind: "control",
    test,
    streams: inRange(view.getUint16(STREAMS_OFFSET), 1, MAX_STREAMS),
    messageBytes: inRange(view.getUint32(MESSAGE_OFFSET), 1, MAX_MESSAGE_BYTES),
    durationMs: view.getUint32(DURATION_OFFSET),
    limitBytes: inRange(Number(view.getBigUint64(LIMIT_OFFSET)), 0, Number.MAX_SAFE_INTEGER),
  };
}

function inRange(value: number, min: number, max: number): number {
  if (value >= min && value <= max) return value;
  throw badRequest(`a value of ${value} is not from ${min} to ${max}`);
}

function badRequest(message: string): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: "read the request of a client",
    message,
  });
}
