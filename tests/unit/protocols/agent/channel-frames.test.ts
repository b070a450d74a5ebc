import { describe, expect, test } from "bun:test";
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

  test("what a Ping may say can be written back, however deep it is", () => {
    const depth = Math.floor((MAX_PING_BYTES - 6) / 2);
    const text = `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    const frame = decodeChannelFrame(ofText(FrameType.Ping, text));
    expect(JSON.stringify(frame)).toContain(text);
  });
});
