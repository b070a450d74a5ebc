import { describe, expect, test } from "bun:test";
import {
  readCaptureRequest,
  readFailure,
  readPayloadBytes,
  readStreamLoss,
  readStreamName,
} from "../../../../src/protocols/hybrid/control.ts";

describe("a request for a capture", () => {
  test("is read", () => {
    expect(readCaptureRequest({ file: "/x.pcap" }, 10)).toEqual({ file: "/x.pcap" });
    const whole = { file: "/x", payload_bytes: 10, force: true };
    expect(readCaptureRequest(whole, 10)).toEqual(whole);
  });

  test.each([
    [undefined],
    [null],
    [[]],
    ["/x"],
    [{}],
    [{ file: "x.pcap" }],
    [{ file: "/x\0" }],
    [{ file: 1 }],
    [{ file: "/x", force: 1 }],
    [{ file: "/x", payload_bytes: "1" }],
    [{ file: "/x", payload_bytes: -1 }],
    [{ file: "/x", payload_bytes: 1.5 }],
    [{ file: "/x", payload_bytes: 11 }],
  ])("%j is refused", (body) => {
    expect(() => readCaptureRequest(body, 10)).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }) as Error,
    );
  });
});

test.each([
  ["0", 0],
  ["256", 256],
  ["999999999", 999_999_999],
])("the bytes of a payload may be %j", (text, expected) => {
  expect(readPayloadBytes(text, 999_999_999)).toBe(expected);
});

test.each([null, "", "x", "-1", "1.5", " 1", "1e3", "257", "1234567890"])(
  "the bytes of a payload may not be %j",
  (text) => {
    expect(() => readPayloadBytes(text, 256)).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }) as Error,
    );
  },
);

test("a stream has a name of hexadecimal digits, or none", () => {
  expect(readStreamName(null)).toBeUndefined();
  for (const name of ["0", "0123456789abcdef0123456789abcdef"]) {
    expect(readStreamName(name)).toBe(name);
  }
  for (const name of ["", "x", "A", "0123456789abcdef0123456789abcdef0", "0 ", "0\n"]) {
    expect(() => readStreamName(name)).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }) as Error,
    );
  }
});

test("the loss of a stream is a count, and nothing of an older device", () => {
  expect(readStreamLoss({ packets_lost: 0 })).toBe(0);
  expect(readStreamLoss({ packets_lost: 7 })).toBe(7);
  for (const other of [undefined, null, [], {}, { packets_lost: "7" }, { packets_lost: -1 }]) {
    expect(readStreamLoss(other)).toBeUndefined();
  }
});

test("a failure is read from whatever answers", () => {
  const failure = { code: "CANNOT_CREATE", message: "no", hint: "yes" };
  expect(readFailure({ ...failure, more: 1 })).toEqual(failure as never);
  for (const other of [undefined, "x", {}, { code: "toString", message: 1 }]) {
    expect(readFailure(other)).toMatchObject({
      code: "BAD_DATA",
      message: expect.stringContaining("not a control socket"),
    });
  }
});
