/**
 * Frames after a Hello: several channels over one connection. Every payload begins with the
 * channel's number, u32 big-endian, but those of Ping and Pong.
 *
 * | type | payload after the number |
 * | --- | --- |
 * | 65 Open | JSON: the request |
 * | 66 Data | u8 stream, bytes |
 * | 67 Record | JSON, in order with the data |
 * | 68 Control | JSON, outside of the credit: signals, sizes, answers |
 * | 69 Credit | u32: number of further bytes that may be sent |
 * | 70 End | nothing: no Data and no Record will follow from this side |
 * | 71 Close | JSON: `result` or `error`; the channel ends |
 *
 * The side that connected opens odd channels, the other one even ones; a number is used once.
 */
import {
  encodeFrame,
  type Frame,
  FRAME_HEADER_BYTES,
  frameInWords,
  frameName,
  FrameType,
  isChannelFrameType,
} from "./frame.ts";
import { badField, type JsonObject, parseObject } from "./json-fields.ts";

/** u32 in front of every channel frame's payload. */
const CHANNEL_BYTES = 4;

/** What a Data frame has in front of its bytes: frame header, channel, stream. */
export const DATA_HEADER_BYTES = FRAME_HEADER_BYTES + CHANNEL_BYTES + 1;

/** Most bytes in one Data frame: small enough that many channels share a connection smoothly. */
export const MAX_CHANNEL_DATA_BYTES = 256 * 1024;

/** Largest frame that is accepted after a Hello, in bytes: nothing needs more. */
export const MAX_CHANNEL_FRAME_BYTES = 1024 * 1024;

/**
 * Most bytes in a Ping or Pong. A Ping's bytes are sent back, and the runtime takes seconds to
 * write JSON that is nested deeply enough, which one large frame can hold.
 */
export const MAX_PING_BYTES = 4096;

/** The streams of a Data frame. */
export const Stream = { Input: 0, Output: 1, Errors: 2 } as const;

/** One of {@link Stream}. */
export type Stream = (typeof Stream)[keyof typeof Stream];

function isStream(byte: number): byte is Stream {
  return byte <= Stream.Errors;
}

/** A frame of one channel, or of the connection (ping, pong). */
export type ChannelFrame =
  | { kind: "open"; channel: number; value: JsonObject }
  | { kind: "control" | "close"; channel: number; value: JsonObject }
  | { kind: "record"; channel: number; value: JsonObject; cost: number }
  | { kind: "data"; channel: number; stream: Stream; bytes: Uint8Array; cost: number }
  | { kind: "credit"; channel: number; bytes: number }
  | { kind: "end"; channel: number }
  | { kind: "ping" | "pong"; value: JsonObject };

const JSON_KINDS = { open: "Open", control: "Control", close: "Close", record: "Record" } as const;

/** A frame with a channel's number and a JSON value. */
export function encodeChannelJson(
  kind: keyof typeof JSON_KINDS,
  channel: number,
  value: JsonObject,
): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(value));
  const payload = new Uint8Array(CHANNEL_BYTES + json.length);
  new DataView(payload.buffer).setUint32(0, channel);
  payload.set(json, CHANNEL_BYTES);
  return encodeFrame(FrameType[JSON_KINDS[kind]], payload);
}

/** Credit that a Record of this encoded size consumes, in bytes. */
export function recordCost(encoded: Uint8Array): number {
  return encoded.length - FRAME_HEADER_BYTES - CHANNEL_BYTES;
}

/**
 * Fills in the header of a Data frame in place.
 *
 * @param frame {@link DATA_HEADER_BYTES} free bytes, then the data.
 */
export function fillDataHeader(frame: Uint8Array, channel: number, stream: Stream): void {
  const view = new DataView(frame.buffer, frame.byteOffset);
  view.setUint8(0, FrameType.Data);
  view.setUint32(1, frame.length - FRAME_HEADER_BYTES);
  view.setUint32(FRAME_HEADER_BYTES, channel);
  view.setUint8(FRAME_HEADER_BYTES + CHANNEL_BYTES, stream);
}

/** A Data frame. */
export function encodeData(channel: number, stream: Stream, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(DATA_HEADER_BYTES + bytes.length);
  fillDataHeader(frame, channel, stream);
  frame.set(bytes, DATA_HEADER_BYTES);
  return frame;
}

/** A Credit frame. */
export function encodeCredit(channel: number, bytes: number): Uint8Array {
  const payload = new DataView(new ArrayBuffer(8));
  payload.setUint32(0, channel);
  payload.setUint32(4, bytes);
  return encodeFrame(FrameType.Credit, new Uint8Array(payload.buffer));
}

/** An End frame. */
export function encodeEnd(channel: number): Uint8Array {
  const payload = new DataView(new ArrayBuffer(CHANNEL_BYTES));
  payload.setUint32(0, channel);
  return encodeFrame(FrameType.End, new Uint8Array(payload.buffer));
}

/**
 * Reads a frame after a Hello, or a piece of a Data frame.
 *
 * @throws {VsockboxError} BAD_DATA for a type that has no place there, or a malformed payload.
 */
export function decodeChannelFrame({ type, payload, prefix }: Frame): ChannelFrame {
  if (type === FrameType.Data) return decodeDataPiece(prefix, payload);
  if (!isChannelFrameType(type)) {
    throw badField("frame", `${frameInWords(type)} is not allowed after a Hello`);
  }
  const name = frameName(type);
  if (type === FrameType.Ping || type === FrameType.Pong) {
    if (payload.length > MAX_PING_BYTES)
      throw badField(name, `it has more than ${MAX_PING_BYTES} bytes`);
    const value = parseObject(name, payload);
    return { kind: type === FrameType.Ping ? "ping" : "pong", value };
  }
  if (payload.length < CHANNEL_BYTES) throw badField(name, "the channel's number is missing");
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const channel = view.getUint32(0);
  const rest = payload.subarray(CHANNEL_BYTES);
  switch (type) {
    case FrameType.Open:
      return { kind: "open", channel, value: parseObject(name, rest) };
    case FrameType.Control:
      return { kind: "control", channel, value: parseObject(name, rest) };
    case FrameType.Close:
      return { kind: "close", channel, value: parseObject(name, rest) };
    case FrameType.Record:
      return { kind: "record", channel, value: parseObject(name, rest), cost: rest.length };
    case FrameType.Credit:
      if (payload.length !== 8) throw badField(name, `it has ${payload.length} bytes, not 8`);
      return { kind: "credit", channel, bytes: view.getUint32(4) };
    case FrameType.End:
      if (rest.length > 0) throw badField(name, "it has a payload");
      return { kind: "end", channel };
  }
}

function decodeDataPiece(prefix: Uint8Array, bytes: Uint8Array): ChannelFrame {
  // Without a view of the prefix, whose cost is that of all else here.
  const { 0: first = 0, 1: second = 0, 2: third = 0, 3: fourth = 0, 4: stream } = prefix;
  if (stream === undefined) throw badField("Data", "the stream's number is missing");
  if (!isStream(stream)) throw badField("Data", `stream ${stream} does not exist`);
  const channel = first * 2 ** 24 + ((second << 16) | (third << 8) | fourth);
  return { kind: "data", channel, stream, bytes, cost: bytes.length };
}
