import { describe, expect, test } from "bun:test";
import { MAX_JSON_DEPTH } from "../../../../src/json/bounded-json.ts";
import {
  decodeChannelFrame,
  MAX_PING_BYTES,
} from "../../../../src/protocols/agent/channel-frames.ts";
import { FrameType } from "../../../../src/protocols/agent/frame.ts";

const ofText = (type: number, text: string) => {
  const payload = new TextEncoder().encode(text);
  return { type, payload, frameBytes: payload.length, prefix: new Uint8Array(0) };
};

describe("decodeChannelFrame", () => {
  test.each([FrameType.Ping, FrameType.Pong])("takes no more in type %d than is small", (type) => {
    const least = '{"a":""}'.length;
    const largest = `{"a":"${"x".repeat(MAX_PING_BYTES - least)}"}`;
    expect(decodeChannelFrame(ofText(type, largest))).toMatchObject({
      value: { a: "x".repeat(MAX_PING_BYTES - least) },
    });
    expect(() => decodeChannelFrame(ofText(type, `${largest} `))).toThrow("more than 4096 bytes");
  });

  test("what a Ping may say can be written back, and nothing nests deeper", () => {
    const nested = (depth: number) => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    const text = nested(MAX_JSON_DEPTH - 1);
    expect(JSON.stringify(decodeChannelFrame(ofText(FrameType.Ping, text)))).toContain(text);
    const deeper = ofText(FrameType.Ping, nested(MAX_JSON_DEPTH));
    expect(() => decodeChannelFrame(deeper)).toThrow(/nested/);
  });
});
