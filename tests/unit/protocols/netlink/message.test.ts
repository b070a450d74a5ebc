import { describe, expect, test } from "bun:test";
import { encodeAttributes } from "../../../../src/protocols/netlink/attributes.ts";
import {
  decodeNetlinkMessages,
  decodeOutcome,
  encodeNetlinkMessage,
  NetlinkFlag,
  type NetlinkMessage,
  NetlinkType,
} from "../../../../src/protocols/netlink/message.ts";

const message = (payload: Uint8Array, more: Partial<NetlinkMessage> = {}): NetlinkMessage => ({
  ...{ type: 18, flags: NetlinkFlag.Multi, sequence: 0x0102_0304, port: 77 },
  ...more,
  payload,
});

/** The payload of an error: its code, the request that it quotes, and attributes. */
const errorPayload = (
  code: number,
  quoted: Uint8Array,
  attributes: Uint8Array = new Uint8Array(),
) => Uint8Array.from([...new Uint8Array(Int32Array.of(code).buffer), ...quoted, ...attributes]);

describe("netlink messages", () => {
  test("have the kernel's layout", () => {
    const bytes = encodeNetlinkMessage(message(Uint8Array.of(0xaa, 0xbb), { type: 0x0514 }));
    expect([...bytes]).toEqual([
      ...[18, 0, 0, 0, 0x14, 0x05, 2, 0],
      ...[4, 3, 2, 1, 77, 0, 0, 0],
      ...[0xaa, 0xbb, 0, 0],
    ]);
  });

  test.each([0, 1, 3, 4, 5, 40])("come back with %p bytes, two in one datagram", (size) => {
    const first = message(new Uint8Array(size).fill(7));
    const second = message(Uint8Array.of(9), { type: 3, flags: 0, sequence: 2 ** 32 - 1 });
    const datagram = Buffer.concat([first, second].map(encodeNetlinkMessage));
    expect(decodeNetlinkMessages(new Uint8Array(datagram))).toEqual([first, second]);
  });

  test("may lack the padding of the last one", () => {
    const bytes = encodeNetlinkMessage(message(Uint8Array.of(1)));
    expect(decodeNetlinkMessages(bytes.subarray(0, 17))).toEqual([message(Uint8Array.of(1))]);
    expect(decodeNetlinkMessages(new Uint8Array(0))).toEqual([]);
  });

  test("are refused at every truncation", () => {
    const bytes = encodeNetlinkMessage(message(new Uint8Array(8)));
    for (let length = 1; length < bytes.length; length++) {
      expect(() => decodeNetlinkMessages(bytes.subarray(0, length))).toThrow(
        length < 16 ? "header is incomplete" : `its length is 24 of ${length} bytes`,
      );
    }
  });

  test.each([0, 4, 15, 0xffff_ffff])("are refused with the length %p", (length) => {
    const bytes = encodeNetlinkMessage(message(new Uint8Array(8)));
    new DataView(bytes.buffer).setUint32(0, length, true);
    expect(() => decodeNetlinkMessages(bytes)).toThrow(`its length is ${length} of 24 bytes`);
  });
});

describe("the outcome of a request", () => {
  const quoted = encodeNetlinkMessage(message(new Uint8Array(5)));
  const text = encodeAttributes([
    { type: 2, value: Uint8Array.of(1, 0, 0, 0) },
    { type: 1, value: "Unknown device type" },
  ]);
  const error = (payload: Uint8Array, flags = 0) =>
    decodeOutcome(message(payload, { type: NetlinkType.Error, flags }));

  test("is an errno, with the whole request quoted or its header", () => {
    expect(error(errorPayload(-2, quoted))).toEqual({ errno: 2, text: undefined });
    expect(error(errorPayload(0, quoted.subarray(0, 16)))).toEqual({ errno: 0, text: undefined });
  });

  test("has a text after the quoted request, its header, or nothing else", () => {
    const whole = errorPayload(-95, quoted, text);
    expect(error(whole, NetlinkFlag.Extended)).toEqual({ errno: 95, text: "Unknown device type" });
    expect(error(whole)).toEqual({ errno: 95, text: undefined });
    const capped = errorPayload(-95, quoted.subarray(0, 16), text);
    const flags = NetlinkFlag.Extended | NetlinkFlag.Capped;
    expect(error(capped, flags)).toEqual({ errno: 95, text: "Unknown device type" });
    // An acknowledgement never quotes more than the header.
    const fine = errorPayload(0, quoted.subarray(0, 16), text);
    expect(error(fine, NetlinkFlag.Extended)).toEqual({ errno: 0, text: "Unknown device type" });
  });

  test("of a dump is in its end", () => {
    const done = (payload: Uint8Array, flags = 0) =>
      decodeOutcome(message(payload, { type: NetlinkType.Done, flags }));
    expect(done(new Uint8Array(0))).toEqual({ errno: 0, text: undefined });
    expect(done(new Uint8Array(Int32Array.of(0).buffer))).toEqual({ errno: 0, text: undefined });
    expect(done(new Uint8Array(Int32Array.of(12).buffer)).errno).toBe(0);
    const bare = new Uint8Array(Int32Array.of(-1).buffer);
    expect(done(bare, NetlinkFlag.Extended)).toEqual({ errno: 1, text: undefined });
    const failed = errorPayload(-1, new Uint8Array(0), text);
    expect(done(failed, NetlinkFlag.Extended)).toEqual({ errno: 1, text: "Unknown device type" });
  });

  test("is refused if it is shorter than the message in it", () => {
    const whole = errorPayload(-2, quoted.subarray(0, 16));
    for (let length = 0; length < whole.length; length++) {
      expect(() => error(whole.subarray(0, length))).toThrow("its error is incomplete");
    }
  });

  test("has no text if the quoted length exceeds the message", () => {
    const hostile = quoted.slice();
    new DataView(hostile.buffer).setUint32(0, 0xffff_ffff, true);
    expect(error(errorPayload(-22, hostile, text), NetlinkFlag.Extended)).toEqual({
      errno: 22,
      text: undefined,
    });
  });
});
