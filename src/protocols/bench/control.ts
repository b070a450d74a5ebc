/**
 * Messages on the control connection of a test, after request and answer: `u8 type, u8 0, u16 length` and
 * the payload, big-endian.
 *
 *   1 Start   client  all streams are connected: the test begins
 *   2 Stop    client  the server's senders end now, as after their duration
 *   3 Result  server  all streams have ended; the server's counts:
 *                     u64 microseconds from Start to the end of the last stream that it received,
 *                     u64 and u64 microseconds of processor time, user and system,
 *                     u16 count of streams, then for each u64 received and u64 sent bytes
 */
import { VsockboxError } from "../../errors.ts";
import { MAX_STREAMS } from "./request.ts";

/** Bytes that a stream has carried, counted by the server. */
export interface StreamBytes {
  receivedBytes: number;
  sentBytes: number;
}

/** The server's end of a test. */
export interface ServerResult {
  /** From Start to the end of the last received stream, or to the end if it receives none. */
  elapsedUs: number;
  cpuUserUs: number;
  cpuSystemUs: number;
  streams: StreamBytes[];
}

/** A message on the control connection. */
export type ControlMessage =
  { type: "start" } | { type: "stop" } | { type: "result"; result: ServerResult };

const TYPES = ["start", "stop", "result"] as const;
const HEADER_BYTES = 4;
const LENGTH_OFFSET = 2;
const U64_BYTES = 8;
/** Three times, and the count of streams. */
const RESULT_HEAD_BYTES = 3 * U64_BYTES + 2;
const STREAM_BYTES = 2 * U64_BYTES;
const MAX_PAYLOAD_BYTES = RESULT_HEAD_BYTES + MAX_STREAMS * STREAM_BYTES;

/** Returns a message as it goes over the wire. */
export function encodeControl(message: ControlMessage): Uint8Array {
  const payload = message.type === "result" ? encodeResult(message.result) : new Uint8Array(0);
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  bytes[0] = TYPES.indexOf(message.type) + 1;
  new DataView(bytes.buffer).setUint16(LENGTH_OFFSET, payload.length);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

function encodeResult({ elapsedUs, cpuUserUs, cpuSystemUs, streams }: ServerResult): Uint8Array {
  const view = new DataView(new ArrayBuffer(RESULT_HEAD_BYTES + streams.length * STREAM_BYTES));
  const numbers = [elapsedUs, cpuUserUs, cpuSystemUs];
  for (const [index, value] of numbers.entries()) {
    view.setBigUint64(index * U64_BYTES, BigInt(value));
  }
  view.setUint16(numbers.length * U64_BYTES, streams.length);
  for (const [index, { receivedBytes, sentBytes }] of streams.entries()) {
    const offset = RESULT_HEAD_BYTES + index * STREAM_BYTES;
    view.setBigUint64(offset, BigInt(receivedBytes));
    view.setBigUint64(offset + U64_BYTES, BigInt(sentBytes));
  }
  return new Uint8Array(view.buffer);
}

/** Splits the bytes of a control connection into messages; it holds at most one. */
export class ControlDecoder {
  readonly #bytes = new Uint8Array(HEADER_BYTES + MAX_PAYLOAD_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #filled = 0;

  /**
   * Reads the next chunk, and returns the messages that it completes.
   *
   * @throws {VsockboxError} BAD_DATA for a type or length that does not exist; the decoder is of no use
   * after that.
   */
  *push(chunk: Uint8Array): Generator<ControlMessage, void, undefined> {
    let rest = chunk;
    while (rest.length > 0) {
      const part = rest.subarray(0, this.#wantedBytes() - this.#filled);
      this.#bytes.set(part, this.#filled);
      this.#filled += part.length;
      rest = rest.subarray(part.length);
      if (this.#filled < this.#wantedBytes()) continue;
      const payload = this.#bytes.slice(HEADER_BYTES, this.#filled);
      this.#filled = 0;
      yield decodeMessage(this.#bytes[0] ?? 0, payload);
    }
  }

  #wantedBytes(): number {
    if (this.#filled < HEADER_BYTES) return HEADER_BYTES;
    const length = this.#view.getUint16(LENGTH_OFFSET);
    if (length > MAX_PAYLOAD_BYTES) throw badControl(`a message of ${length} bytes`);
    return HEADER_BYTES + length;
  }
}

function decodeMessage(number: number, payload: Uint8Array): ControlMessage {
  const type = TYPES[number - 1];
  if (type === undefined) throw badControl(`a message of the type ${number}`);
  if (type === "result") return { type, result: decodeResult(payload) };
  if (payload.length > 0) throw badControl(`a payload of ${payload.length} bytes for ${type}`);
  return { type };
}

function decodeResult(payload: Uint8Array): ServerResult {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const isWhole = payload.length >= RESULT_HEAD_BYTES;
  const count = isWhole ? view.getUint16(3 * U64_BYTES) : 0;
  if (payload.length !== RESULT_HEAD_BYTES + count * STREAM_BYTES) {
    throw badControl(`a result of ${payload.length} bytes`);
  }
  return {
    elapsedUs: readU64(view, 0),
    cpuUserUs: readU64(view, U64_BYTES),
    cpuSystemUs: readU64(view, 2 * U64_BYTES),
    streams: Array.from({ length: count }, (_, index) => {
      const offset = RESULT_HEAD_BYTES + index * STREAM_BYTES;
      return {
        receivedBytes: readU64(view, offset),
        sentBytes: readU64(view, offset + U64_BYTES),
      };
    }),
  };
}

function readU64(view: DataView, offset: number): number {
  const value = Number(view.getBigUint64(offset));
  if (value > Number.MAX_SAFE_INTEGER) throw badControl(`a number of ${value}`);
  return value;
}

function badControl(what: string): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: "read a message of the peer",
    message: `${what} is not part of the bench protocol`,
  });
}
