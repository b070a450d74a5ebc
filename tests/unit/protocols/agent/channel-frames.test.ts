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

  test("what a Ping may say is written back in no time", () => {
    const depth = Math.floor((MAX_PING_BYTES - 6) / 2);
    const frame = decodeChannelFrame(
      ofText(FrameType.Ping, `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`),
    );
    const begin = performance.now();
    JSON.stringify(frame);
    expect(performance.now() - begin).toBeLessThan(500);
  });
});
