import { describe, expect, test } from "bun:test";
import {
  BENCH_TESTS,
  BENCH_VERSION,
  type BenchRequest,
  decodeBenchRequest,
  encodeBenchRequest,
  MAX_MESSAGE_BYTES,
  MAX_STREAMS,
  mayBeRequest,
  REQUEST_BYTES,
} from "../../../../src/protocols/bench/request.ts";

const token = Uint8Array.from({ length: 16 }, (_, index) => index + 1);
const control = {
  kind: "control",
  test: "both",
  streams: 3,
  messageBytes: 65_536,
  durationMs: 2000,
  limitBytes: 2 ** 40 + 5,
} as const;

const REQUESTS: readonly BenchRequest[] = [
  ...BENCH_TESTS.map((name) => ({ ...control, test: name })),
  { ...control, streams: 1, messageBytes: 1, durationMs: 0, limitBytes: 0 },
  {
    ...{ ...control, streams: MAX_STREAMS, messageBytes: MAX_MESSAGE_BYTES },
    ...{ durationMs: 0xffff_ffff, limitBytes: Number.MAX_SAFE_INTEGER },
  },
  { kind: "data", token, stream: 0 },
  { kind: "data", token, stream: MAX_STREAMS - 1 },
  { kind: "connect", token },
];

/** A request with other bytes at an offset. */
function changed(request: BenchRequest, offset: number, ...bytes: number[]): Uint8Array {
  const encoded = encodeBenchRequest(request);
  encoded.set(bytes, offset);
  return encoded;
}

test("the limits are those that both sides have agreed on", () => {
  expect([MAX_STREAMS, MAX_MESSAGE_BYTES, REQUEST_BYTES, BENCH_VERSION]).toEqual([
    ...[64, 1_048_576, 48, 1],
  ]);
});

describe("a request", () => {
  test.each(REQUESTS)("is read as it was written: %j", (request) => {
    const bytes = encodeBenchRequest(request);
    expect(bytes).toHaveLength(REQUEST_BYTES);
    expect(decodeBenchRequest(bytes)).toEqual(request);
  });

  test("has its numbers at fixed offsets, in big-endian order", () => {
    expect(encodeBenchRequest(control).toHex()).toBe(
      `${Buffer.from("VSBXBNRQ").toString("hex")}0001010300010000000300000000` +
        `07d00000010000000005${"00".repeat(16)}`,
    );
    expect(encodeBenchRequest({ kind: "data", token, stream: 2 }).toHex()).toBe(
      `${Buffer.from("VSBXBNRQ").toString("hex")}0001020000000000000000020000` +
        `00000000000000000000${token.toHex()}`,
    );
  });

  test("of another version is recognised whatever else it has", () => {
    expect(decodeBenchRequest(changed(control, 8, 0, BENCH_VERSION + 1, 99))).toEqual({
      kind: "other-version",
      version: BENCH_VERSION + 1,
    });
  });

  test.each([
    ["another magic", changed(control, 7, 0x52)],
    ["an unknown kind", changed(control, 10, 4)],
    ["the kind 0", changed(control, 10, 0)],
    ["an unknown test", changed(control, 11, BENCH_TESTS.length + 1)],
    ["the test 0", changed(control, 11, 0)],
    ["no message", changed(control, 12, 0, 0, 0, 0)],
    ["a message that is too long", changed(control, 12, 0, 16, 0, 1)],
    ["no stream", changed(control, 16, 0, 0)],
    ["too many streams", changed(control, 16, 0, MAX_STREAMS + 1)],
    ["a stream beyond the last", changed({ kind: "data", token, stream: 0 }, 18, 0, MAX_STREAMS)],
    ["more bytes than a number holds", changed(control, 24, 0, 32, 0, 0, 0, 0, 0, 0)],
    ["too many bytes", new Uint8Array(REQUEST_BYTES + 1)],
  ])("is refused: %s", (_what, bytes) => {
    expect(() => decodeBenchRequest(bytes)).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }) as unknown as Error,
    );
  });

  test("is refused if it is cut, at every byte", () => {
    const bytes = encodeBenchRequest(control);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeBenchRequest(bytes.subarray(0, length))).toThrow(`it has ${length} bytes`);
      expect(mayBeRequest(bytes.subarray(0, length))).toBe(true);
    }
  });

  test("is distinguished from other first bytes as soon as one differs", () => {
    expect(mayBeRequest(Buffer.from("VSBXBNR"))).toBe(true);
    for (const other of ["GET / HTTP", "VSBXBNAN", "V\0", "SSH-2.0-x"]) {
      expect(mayBeRequest(Buffer.from(other))).toBe(false);
    }
  });
});
