/** What is fuzzed: each target takes any bytes, and says which promise they broke. */
import { parseOperand } from "../../src/commands/shared/target.ts";
import { type ErrorCode, VsockboxError } from "../../src/errors.ts";
import { componentMatcher } from "../../src/files/glob.ts";
import { formatAddress, parseAddress } from "../../src/net/address.ts";
import { parseForward } from "../../src/net/forward-spec.ts";
import { decodeBase64, encodeBase64 } from "../../src/protocols/agent/base64.ts";
import {
  type ChannelFrame,
  decodeChannelFrame,
  encodeChannelJson,
  encodeCredit,
  encodeData,
  encodeEnd,
} from "../../src/protocols/agent/channel-frames.ts";
import {
  decodeConnectionRecord,
  encodeConnectionRecord,
} from "../../src/protocols/agent/connection-records.ts";
import { decodeProof, encodeProof } from "../../src/protocols/agent/challenge.ts";
import {
  decodeAccepted,
  decodeChannelRequest,
  decodeExecControl,
  encodeChannelRequest,
} from "../../src/protocols/agent/channel-requests.ts";
import {
  decodeFileResponse,
  decodePathRequest,
  decodePortForwardRequest,
  decodeWriteFileRequest,
  encodeFileResponse,
} from "../../src/protocols/agent/file-messages.ts";
import {
  encodeJsonFrame,
  encodeU32Frame,
  type Frame,
  FrameDecoder,
  FrameType,
  frameTypeOf,
} from "../../src/protocols/agent/frame.ts";
import {
  decodeError,
  decodeHello,
  encodeError,
  encodeHello,
} from "../../src/protocols/agent/hello.ts";
import { type JsonObject, parseObject } from "../../src/protocols/agent/json-fields.ts";
import {
  decodeExecRequest,
  decodeExecResponse,
  decodeExecTTYRequest,
  decodeExit,
  decodeResize,
  decodeSignal,
  encodeExecRequest,
  encodeExecResponse,
  encodeExecTTYRequest,
  encodeResize,
} from "../../src/protocols/agent/messages.ts";
import {
  decodeResumeOffer,
  decodeTreeRecord,
  encodeResumeOffer,
  encodeTreeRecord,
} from "../../src/protocols/agent/tree-records.ts";
import { HandshakeReader } from "../../src/protocols/hybrid/handshake.ts";
import { EscapeFilter } from "../../src/protocols/terminal/escape.ts";
import * as corpus from "./corpus.ts";
import {
  referenceEscape,
  referenceFrames,
  referenceGlob,
  referenceHandshake,
} from "./reference.ts";

/** Something that takes any bytes. */
export interface Target {
  name: string;
  corpus: readonly Uint8Array[];
  /** Codes of the errors that it may throw. */
  codes: readonly ErrorCode[];
  /**
   * Takes one input, which is only valid during the call.
   *
   * @throws {Violation} where a promise is broken; anything but an error with one of the codes is one.
   */
  run(input: Uint8Array): void;
}

/** A promise was broken. */
export class Violation extends Error {
  override readonly name = "Violation";
}

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

/** Equal as values; 0 and -0 are the same in JSON. */
function same(one: unknown, other: unknown): boolean {
  return Bun.deepEquals(one, other) || JSON.stringify(one) === JSON.stringify(other);
}

const encoder = new TextEncoder();

/** Longer JSON may be nested too deeply to be written again, in bytes. */
const MAX_WRITTEN_BYTES = 16 * 1024;

/** A decoder of bytes, with its encoder where it has one. */
function bytesTarget<T>(
  name: string,
  samples: readonly Uint8Array[],
  decode: (input: Uint8Array) => T,
  encode?: (value: T) => Uint8Array,
): Target {
  return {
    name,
    corpus: samples,
    codes: ["BAD_DATA"],
    run(input) {
      const value = decode(input);
      if (encode !== undefined) {
        demand(same(decode(encode(value)), value), "decode(encode(x)) is x");
      }
    },
  };
}

/** A decoder of JSON payloads, with its encoder where it has one. */
function jsonTarget<T>(
  name: string,
  samples: readonly Record<string, unknown>[],
  decode: (payload: Uint8Array) => T,
  encode?: (value: T) => unknown,
): Target {
  return bytesTarget(
    name,
    samples.map(corpus.json),
    decode,
    encode && ((value) => encoder.encode(JSON.stringify(encode(value)))),
  );
}

/** A decoder of JSON objects that were parsed already. */
function objectTarget<T>(
  name: string,
  samples: readonly Record<string, unknown>[],
  decode: (object: JsonObject) => T,
  encode?: (value: T) => unknown,
): Target {
  return jsonTarget(name, samples, (payload) => decode(parseObject(name, payload)), encode);
}

/** A reader of what a user writes. */
function textTarget(
  name: string,
  samples: readonly string[],
  read: (text: string, input: Uint8Array) => void,
  codes: readonly ErrorCode[] = [],
): Target {
  return {
    name,
    corpus: samples.map(corpus.text),
    codes,
    run: (input) =>
      read(Buffer.from(input.buffer, input.byteOffset, input.length).toString(), input),
  };
}

/** Cuts that follow from one number, so that they are replayed with the input. */
function* cut(input: Uint8Array, how: number): Generator<Uint8Array> {
  if (how === 0) return yield input;
  let state = how;
  for (let at = 0; at < input.length;) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const size = 1 + ((state >>> 16) % how);
    yield input.subarray(at, at + size);
    at += size;
  }
}

/** Limits of the frame decoder that the first two bytes of an input choose from, in bytes. */
const LIMITS = [0, 1, 5, 16, 64, 600, 1024 * 1024, 64 * 1024 * 1024] as const;

const STREAMED: ReadonlySet<number> = new Set([
  FrameType.Stdin,
  FrameType.Stdout,
  FrameType.Stderr,
  FrameType.Data,
]);

/** Decoders that are in the middle of a frame are kept for a while, so that what they hold shows. */
const unfinished: FrameDecoder[] = [];
const UNFINISHED_MAX = 256;
let unfinishedNext = 0;

interface Collected {
  type: number;
  length: number;
  parts: Uint8Array[];
  bytes: number;
}

/**
 * Bytes 0 and 1 choose the limits, for the first frame and the others, byte 2 the cuts, byte 3 behind
 * how many frames the rest is taken; then comes the stream.
 */
function runFrames(input: Uint8Array): void {
  const [first = 0, second = 0, how = 0, stop = 0] = input;
  const stream = input.subarray(4);
  const limit = LIMITS[first % LIMITS.length] ?? 0;
  const later = LIMITS[second % LIMITS.length] ?? 0;
  const expected = referenceFrames(stream, limit, later);
  const decoder = new FrameDecoder({ maxFrameBytes: limit });
  const frames: Collected[] = [];
  // From 128 on the rest is never taken.
  const stopAt = stop < 128 ? (stop % 4) + 1 : Number.POSITIVE_INFINITY;
  let complete = 0;
  let pushed = 0;
  let isTooLarge = false;
  try {
    for (const chunk of cut(stream, how % 32)) {
      pushed += chunk.length;
      for (const frame of decoder.push(chunk)) {
        if (!take(frames, frame)) continue;
        if (++complete === 1) decoder.limit(later);
        if (complete < stopAt) continue;
        const rest = decoder.takeRest();
        demand(expected.ends[complete - 1] === pushed - rest.length, "takeRest gives what is left");
        demand([...decoder.push(new Uint8Array(0))].length === 0, "nothing comes out of nothing");
        return;
      }
    }
  } catch (thrown) {
    if (!(thrown instanceof VsockboxError)) throw thrown;
    demand(thrown.code === "BAD_DATA", "a length above the limit is BAD_DATA");
    isTooLarge = true;
  }
  demand(isTooLarge === expected.isTooLarge, "a length above the limit is refused, no other one");
  demand(complete === expected.ends.length, "as many frames come out as went in");
  compareFrames(frames, expected.frames);
  if (isTooLarge) return;
  demand(decoder.atBoundary === expected.atBoundary, "atBoundary is right");
  if (!expected.atBoundary) {
    unfinished[unfinishedNext++ % UNFINISHED_MAX] = decoder;
    try {
      decoder.finish();
    } catch (thrown) {
      demand(
        thrown instanceof VsockboxError && thrown.code === "TRANSPORT",
        "an end inside a frame is TRANSPORT",
      );
      return;
    }
    throw new Violation("an end inside a frame is noticed");
  }
  decoder.finish();
}

/** Adds what came out to the frames; true where it completes one. */
function take(frames: Collected[], { type, payload, frameBytes, prefix }: Frame): boolean {
  const last = frames.at(-1);
  const isPiece = last !== undefined && last.bytes < last.length;
  if (isPiece) {
    demand(last.type === type && last.length === frameBytes, "pieces belong to one frame");
    demand(same(prefix, last.parts[0]), "each piece has the frame's prefix");
    demand(payload.length > 0, "a piece has bytes");
    last.parts.push(payload);
    last.bytes += payload.length;
    return last.bytes === last.length;
  }
  const bytes = prefix.length + payload.length;
  demand(bytes === frameBytes || STREAMED.has(type), "only data frames come in pieces");
  demand(bytes <= frameBytes, "a piece is no larger than its frame");
  frames.push({ type, length: frameBytes, parts: [prefix, payload], bytes });
  return bytes === frameBytes;
}

function compareFrames(
  frames: readonly Collected[],
  expected: ReturnType<typeof referenceFrames>["frames"],
): void {
  for (const [index, { type, length, payload }] of expected.entries()) {
    const got = frames[index];
    if (got === undefined) {
      // Of a frame that is not complete only data is handed on, once its prefix is there.
      const isEmpty = payload.length <= (type === FrameType.Data ? 5 : 0);
      demand(payload.length < length && (!STREAMED.has(type) || isEmpty), "every frame comes out");
      continue;
    }
    demand(got.type === type && got.length === length, "types and lengths stay as they are");
    demand(Buffer.concat(got.parts).equals(payload), "payloads stay as they are");
  }
  demand(frames.length <= expected.length, "nothing comes out that did not go in");
}

/** Byte 0 is the type, the rest the payload; a Data frame's is split as the frame decoder does it. */
function channelFrameOf(type: number, bytes: Uint8Array): Frame {
  const prefixBytes = type === FrameType.Data && bytes.length >= 5 ? 5 : 0;
  return {
    type: frameTypeOf(type),
    prefix: bytes.subarray(0, prefixBytes),
    payload: bytes.subarray(prefixBytes),
    frameBytes: bytes.length,
  };
}

function encodeChannelFrame(frame: ChannelFrame): Uint8Array {
  switch (frame.kind) {
    case "data":
      return encodeData(frame.channel, frame.stream, frame.bytes);
    case "credit":
      return encodeCredit(frame.channel, frame.bytes);
    case "end":
      return encodeEnd(frame.channel);
    case "ping":
      return encodeJsonFrame(FrameType.Ping, frame.value);
    case "pong":
      return encodeJsonFrame(FrameType.Pong, frame.value);
    default:
      return encodeChannelJson(frame.kind, frame.channel, frame.value);
  }
}

function runChannelFrame(input: Uint8Array): void {
  const frame = decodeChannelFrame(channelFrameOf(input[0] ?? 0, input.subarray(1)));
  if (isTooDeep(frame, input)) return;
  const encoded = encodeChannelFrame(frame);
  const again = decodeChannelFrame(channelFrameOf(encoded[0] ?? 0, encoded.subarray(5)));
  // The text of a JSON value may be longer or shorter than what came in.
  if (frame.kind === "record" && again.kind === "record") again.cost = frame.cost;
  demand(same(again, frame), "decode(encode(x)) is x");
}

/** Only what a Ping says is ever written back; the runtime cannot write all that it can read. */
function isTooDeep({ kind }: ChannelFrame, input: Uint8Array): boolean {
  return kind !== "ping" && kind !== "data" && input.length > MAX_WRITTEN_BYTES;
}

function runHandshake(input: Uint8Array): void {
  const stream = input.subarray(1);
  const expected = referenceHandshake(stream);
  const reader = new HandshakeReader();
  let pushed = 0;
  try {
    for (const chunk of cut(stream, (input[0] ?? 0) % 16)) {
      pushed += chunk.length;
      const done = reader.push(chunk);
      if (done === undefined) continue;
      demand(expected !== undefined && expected !== "bad", "only a good line is taken");
      demand(done.assignedPort === expected.port, "the port is the one in the line");
      demand(pushed - done.rest.length === expected.end, "the rest begins behind the line");
      return;
    }
  } catch (thrown) {
    if (thrown instanceof VsockboxError) demand(expected === "bad", "a good line is taken");
    throw thrown;
  }
  demand(expected === undefined, "a whole line is answered");
}

function runEscape(input: Uint8Array): void {
  const typed = input.subarray(1);
  const expected = referenceEscape(typed);
  const filter = new EscapeFilter();
  const bytes: number[] = [];
  const actions: string[] = [];
  for (const chunk of cut(typed, (input[0] ?? 0) % 16)) {
    const filtered = filter.push(chunk);
    for (const byte of filtered.bytes) bytes.push(byte);
    actions.push(...filtered.actions);
    if (actions.at(-1) === "disconnect") break;
  }
  demand(same(actions, expected.actions), "the actions are those that were typed");
  demand(same(bytes, expected.bytes), "the bytes are those that were typed");
}

function runGlob(input: Uint8Array): void {
  const words = Buffer.from(input.buffer, input.byteOffset, input.length).toString("latin1");
  const border = words.indexOf("\0");
  // As long as they can be in the file system.
  const pattern = words.slice(0, border === -1 ? words.length : border).slice(0, 4095);
  const name = border === -1 ? "" : words.slice(border + 1, border + 256);
  const matches = componentMatcher(pattern);
  demand(matches(name) === referenceGlob(pattern, name), "it matches what a pattern stands for");
  const quoted = name.replaceAll(/[^]/g, "\\$&");
  demand(componentMatcher(quoted)(name), "a quoted name matches itself");
}

const WHITE_SPACE = /[\t\n\f\r ]/g;

function runBase64(text: string): void {
  const bytes = decodeBase64(text);
  if (bytes === undefined) return;
  demand(encodeBase64(bytes) === text.replaceAll(WHITE_SPACE, ""), "only base64 is taken");
  demand(same(decodeBase64(encodeBase64(bytes)), bytes), "decode(encode(x)) is x");
}

function runAddress(text: string): void {
  const address = parseAddress(text);
  demand(same(parseAddress(formatAddress(address)), address), "it reads what it writes");
}

function runForward(text: string): void {
  const { listen, target } = parseForward(text, "-L");
  for (const end of [listen, target]) {
    const isGood =
      end.kind === "unix"
        ? end.path.startsWith("/")
        : end.host !== "" && Number.isInteger(end.port) && end.port >= 0 && end.port <= 65_535;
    demand(isGood, "both ends can be used");
  }
}

/** The result of a parser of the command line; undefined if it refuses the word as a usage error. */
function parseOrUsage<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (thrown) {
    if (thrown instanceof VsockboxError && thrown.code === "USAGE") return undefined;
    throw thrown;
  }
}

function runOperand(input: Uint8Array): void {
  const operand = parseOrUsage(() => parseOperand(input));
  if (operand === undefined || operand.kind === "stream") return;
  demand(
    operand.kind === "local"
      ? same(operand.path, input)
      : operand.target !== "" && operand.path.length > 0,
    "a path keeps its bytes, a guest has a name",
  );
}

const withHead = (head: readonly number[], samples: readonly Uint8Array[]) =>
  samples.map((sample) => corpus.join(Uint8Array.from(head), sample));

const ofError = (value: JsonObject) => {
  const error = decodeError(value);
  return error && encodeError(error);
};

/** Everything that is fuzzed. */
export const TARGETS: readonly Target[] = [
  {
    name: "frames",
    corpus: [
      ...withHead([7, 7, 0, 255], corpus.STREAMS),
      ...withHead([7, 6, 3, 1], corpus.STREAMS),
      ...withHead([5, 4, 31, 200], corpus.STREAMS),
    ],
    codes: [],
    run: runFrames,
  },
  {
    name: "channel-frames",
    corpus: corpus.CHANNEL_FRAMES.map(([type, bytes]) => corpus.join(Uint8Array.of(type), bytes)),
    codes: ["BAD_DATA"],
    run: runChannelFrame,
  },
  jsonTarget("hello", corpus.HELLOS, decodeHello, encodeHello),
  jsonTarget("proof", corpus.PROOFS, decodeProof, encodeProof),
  objectTarget(
    "errors",
    corpus.ERRORS,
    (value) => ofError(value) ?? {},
    (value) => value,
  ),
  objectTarget("requests", corpus.REQUESTS, decodeChannelRequest, (request) =>
    encodeChannelRequest(request),
  ),
  objectTarget("controls", corpus.CONTROLS, decodeExecControl, (message) =>
    message.kind === "signal" ? { signal: message.signal } : { tty: message.size },
  ),
  objectTarget("accepted", corpus.ACCEPTED, decodeAccepted, (accepted) => accepted),
  objectTarget("records", corpus.RECORDS, decodeTreeRecord, encodeTreeRecord),
  objectTarget(
    "connection-records",
    [
      { id: 1, peer: "vsock:2:1027", age_ms: 3, received_bytes: 9, sent_bytes: 2 ** 40 },
      { peer: "unix", request_count: 9, requests: ["exec ls -l", "get /etc/\u001b"] },
    ],
    decodeConnectionRecord,
    encodeConnectionRecord,
  ),
  objectTarget("offers", corpus.OFFERS, decodeResumeOffer, encodeResumeOffer),
  jsonTarget("exec", corpus.COMMANDS, decodeExecRequest, encodeExecRequest),
  jsonTarget("exec-tty", corpus.COMMANDS, decodeExecTTYRequest, encodeExecTTYRequest),
  jsonTarget("exec-result", corpus.EXEC_RESULTS, decodeExecResponse, encodeExecResponse),
  bytesTarget("resize", [Uint8Array.of(0, 24, 0, 80)], decodeResize, encodeResize),
  bytesTarget("exit", [corpus.u32(0), corpus.u32(0xffff_ffff)], decodeExit, (code) =>
    encodeU32Frame(FrameType.Exit, code).subarray(5),
  ),
  bytesTarget("signal", [Uint8Array.of(15)], decodeSignal, (signal) => Uint8Array.of(signal)),
  jsonTarget("port-forward", corpus.FILE_REQUESTS, decodePortForwardRequest, (request) => request),
  jsonTarget("write-file", corpus.FILE_REQUESTS, decodeWriteFileRequest),
  jsonTarget(
    "read-file",
    corpus.FILE_REQUESTS,
    (payload) => decodePathRequest(payload, "ReadFile"),
    (path) => ({ path }),
  ),
  jsonTarget("file-result", corpus.FILE_RESULTS, decodeFileResponse, encodeFileResponse),
  textTarget("base64", corpus.BASE64, runBase64),
  {
    name: "handshake",
    corpus: withHead([3], corpus.HANDSHAKES.map(corpus.text)),
    codes: ["BAD_DATA"],
    run: runHandshake,
  },
  { name: "escape", corpus: corpus.KEYS.map(corpus.text), codes: [], run: runEscape },
  textTarget("forward", corpus.FORWARDS, runForward, ["USAGE"]),
  textTarget("operand", corpus.OPERANDS, (_, input) => runOperand(input)),
  textTarget("address", corpus.ADDRESSES, runAddress, ["USAGE"]),
  {
    name: "glob",
    corpus: corpus.GLOBS.map((words) => new Uint8Array(Buffer.from(words, "latin1"))),
    codes: [],
    run: runGlob,
  },
];
