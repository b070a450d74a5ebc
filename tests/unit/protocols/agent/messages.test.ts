import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { VsockboxError } from "../../../../src/errors.ts";
import {
  decodeExecRequest,
  decodeExecResponse,
  decodeExit,
  decodeSignal,
  encodeExecRequest,
  encodeExecResponse,
} from "../../../../src/protocols/agent/messages.ts";

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const text = fc.string({ unit: "grapheme" }).filter((value) => !value.includes("\0"));
const optional = fc.option(
  text.filter((value) => value !== ""),
  { nil: undefined },
);

describe("ExecRequest", () => {
  test("reads what Go writes, with null and missing fields", () => {
    expect(
      decodeExecRequest(json({ command: "true", args: null, env: null, stdin: null, user: "" })),
    ).toEqual({
      command: "true",
      args: [],
      workingDir: undefined,
      env: {},
      stdin: new Uint8Array(0),
      user: undefined,
    });
  });

  test("writes Go's names and leaves empty fields out", () => {
    expect(
      encodeExecRequest({
        command: "cat",
        args: ["-n"],
        workingDir: "/tmp",
        env: { A: "1" },
        stdin: Uint8Array.of(255, 0),
        user: "1000:1000",
      }),
    ).toEqual({
      command: "cat",
      args: ["-n"],
      working_dir: "/tmp",
      env: { A: "1" },
      stdin: "/wA=",
      user: "1000:1000",
    });
    const none = new Uint8Array(0);
    expect(
      encodeExecRequest({
        command: "x",
        args: [],
        workingDir: undefined,
        env: {},
        stdin: none,
        user: undefined,
      }),
    ).toEqual({ command: "x" });
  });

  test("round-trips", () => {
    const requests = fc.record({
      command: text.filter((value) => value !== ""),
      args: fc.array(text),
      workingDir: optional,
      env: fc.dictionary(
        text.filter((name) => name !== "" && !name.includes("=") && name !== "__proto__"),
        text,
        { noNullPrototype: true },
      ),
      stdin: fc.uint8Array(),
      user: optional,
    });
    fc.assert(
      fc.property(requests, (request) => {
        const decoded = decodeExecRequest(json(encodeExecRequest(request)));
        expect({ ...decoded, env: { ...decoded.env } }).toEqual(request);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ["no JSON", new TextEncoder().encode("{"), "not JSON"],
    ["not UTF-8", Uint8Array.of(0x22, 0xff, 0x22), "not JSON"],
    ["a list", json([]), "not a JSON object"],
    ["no command", json({ args: ["x"] }), "command is missing"],
    ["an empty command", json({ command: "" }), "command is missing"],
    ["a number as command", json({ command: 1 }), "command is not a string"],
    ["a NUL in the directory", json({ command: "x", working_dir: "a\0" }), "NUL"],
    ["args that are no list", json({ command: "x", args: "y" }), "args"],
    ["a number among args", json({ command: "x", args: [1] }), "args"],
    ["env that is a list", json({ command: "x", env: [] }), "env"],
    ["a number in env", json({ command: "x", env: { A: 1 } }), "env"],
    ["an env name with =", json({ command: "x", env: { "A=": "" } }), "env"],
    ["stdin that is not base64", json({ command: "x", stdin: "?" }), "base64"],
  ])("refuses %s", (_, payload, message) => {
    expect(() => decodeExecRequest(payload)).toThrow(message);
  });

  test("throws nothing but its own error, whatever it gets", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((value) => new TextEncoder().encode(value)),
        ),
        (payload) => {
          for (const decode of [decodeExecRequest, decodeExecResponse, decodeExit, decodeSignal]) {
            try {
              decode(payload);
            } catch (thrown) {
              expect(thrown).toBeInstanceOf(VsockboxError);
            }
          }
        },
      ),
      { numRuns: 5000 },
    );
  });
});

describe("ExecResult", () => {
  test("round-trips", () => {
    const response = {
      exitCode: -1,
      stdout: Uint8Array.of(1),
      stderr: new Uint8Array(0),
      error: "no",
    };
    expect(encodeExecResponse(response)).toEqual({ exit_code: -1, stdout: "AQ==", error: "no" });
    expect(decodeExecResponse(json(encodeExecResponse(response)))).toEqual(response);
  });
});

describe("Exit and Signal", () => {
  test("Exit is a big-endian u32", () => {
    expect(decodeExit(Uint8Array.of(0xff, 0xff, 0xff, 0xff))).toBe(4294967295);
    expect(() => decodeExit(Uint8Array.of(1))).toThrow("1 bytes, not 4");
  });

  test("Signal is one byte from 1 to 64", () => {
    expect(decodeSignal(Uint8Array.of(15))).toBe(15);
    for (const payload of [[], [0], [65], [1, 2]]) {
      expect(() => decodeSignal(Uint8Array.from(payload))).toThrow("one byte from 1 to 64");
    }
  });
});
