import { describe, expect, test } from "bun:test";
import { MAX_JSON_DEPTH } from "../../../../src/json/bounded-json.ts";
import {
  decodeChannelFrame,
  MAX_PING_BYTES,
  Stream,
} from "../../../../src/protocols/agent/channel-frames.ts";
import { FrameType, frameTypeOf } from "../../../../src/protocols/agent/frame.ts";

const ofText = (type: FrameType, text: string) => {
  const payload = new TextEncoder().encode(text);
  return { type, payload, frameBytes: payload.length, prefix: new Uint8Array(0) };
};

describe("decodeChannelFrame", () => {
  test.each([FrameType.Ping, FrameType.Pong])("limits the bytes of type %d", (type) => {
    const least = '{"a":""}'.length;
    const largest = `{"a":"${"x".repeat(MAX_PING_BYTES - least)}"}`;
    expect(decodeChannelFrame(ofText(type, largest))).toMatchObject({
      value: { a: "x".repeat(MAX_PING_BYTES - least) },
    });
    expect(() => decodeChannelFrame(ofText(type, `${largest} `))).toThrow("more than 4096 bytes");
  });

  test("accepts a Ping that can be sent back, and none that nests deeper", () => {
    const nested = (depth: number) => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    const text = nested(MAX_JSON_DEPTH - 1);
    expect(JSON.stringify(decodeChannelFrame(ofText(FrameType.Ping, text)))).toContain(text);
    const deeper = ofText(FrameType.Ping, nested(MAX_JSON_DEPTH));
    expect(() => decodeChannelFrame(deeper)).toThrow(/nested/);
  });

  test("accepts every type of the channel multiplexer, and no other of the protocol", () => {
    const isRefused = (type: FrameType) => {
      try {
        decodeChannelFrame({ ...ofText(type, "\0\0\0\x01"), prefix: new Uint8Array(5) });
        return false;
      } catch (thrown) {
        return String(thrown).includes("is not allowed after a Hello");
      }
    };
    const accepted = Object.entries(FrameType).filter(([, type]) => !isRefused(type));
    expect(accepted.map(([name]) => name)).toEqual([
      "Open",
      "Data",
      "Record",
      "Control",
      "Credit",
      "End",
      "Close",
      "Ping",
      "Pong",
    ]);
    expect(isRefused(frameTypeOf(200) as FrameType)).toBe(true);
    expect(() => decodeChannelFrame(ofText(FrameType.Exec, ""))).toThrow(
      "an Exec frame is not allowed after a Hello",
    );
  });

  test("refuses data on a stream that does not exist", () => {
    const data = (stream: number) => ({
      ...ofText(FrameType.Data, "x"),
      prefix: Uint8Array.of(0, 0, 0, 1, stream),
    });
    for (const stream of Object.values(Stream)) {
      expect(decodeChannelFrame(data(stream))).toMatchObject({ kind: "data", channel: 1, stream });
    }
    expect(() => decodeChannelFrame(data(3))).toThrow("stream 3 does not exist");
  });
});
