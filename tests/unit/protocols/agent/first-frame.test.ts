import { expect, test } from "bun:test";
import { checkFirstFrame } from "../../../../src/protocols/agent/first-frame.ts";
import { FrameType, frameTypeOf } from "../../../../src/protocols/agent/frame.ts";

const { Hello, Exec, ExecTTY, ListFiles, Stdout, Open, Proof } = FrameType;

test.each([Hello, Exec, ExecTTY, ListFiles])("a session begins with a frame of type %d", (type) => {
  expect(() => checkFirstFrame(type)).not.toThrow();
});

test.each([Stdout, Open, Proof, 0, 63, 255].map(frameTypeOf))("none begins with %d", (type) => {
  expect(() => checkFirstFrame(type)).toThrow(
    expect.objectContaining({ code: "BAD_DATA", frameType: type }),
  );
});
