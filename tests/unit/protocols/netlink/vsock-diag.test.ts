import { describe, expect, test } from "bun:test";
import { NetlinkAnswerReader } from "../../../../src/protocols/netlink/answer.ts";
import {
  decodeVsockSocket,
  encodeVsockDiagRequest,
} from "../../../../src/protocols/netlink/vsock-diag.ts";

/**
 * The two datagrams of Linux 6.1 in a guest, for sequence 1: a listener, the two ends of a connection over
 * loopback whose client has shut down sending, and the end.
 */
const RECORDED = [
  "3000000014000200010000009e00000028050a00ffffffffd5170000fffffffffffffffff11c00000200000000000000",
  "3000000014000200010000009e00000028010102fffffffffef937f301000000d4170000ac1d00000110000000000000",
  "3000000014000200010000009e0000002801010001000000d417000001000000fef937f3ad1d00000210000000000000",
  "1400000003000200010000009e00000000000000",
];

const PLAIN = { isReceiveShutdown: false, isSendShutdown: false };
const EXPECTED = [
  {
    ...{ ...PLAIN, type: "seqpacket", state: "listening", inode: 7409 },
    ...{ local: { cid: undefined, port: 6101 }, peer: { cid: undefined, port: undefined } },
  },
  {
    ...{ ...PLAIN, type: "stream", state: "established", inode: 7596, isSendShutdown: true },
    ...{ local: { cid: undefined, port: 4_080_531_966 }, peer: { cid: 1, port: 6100 } },
  },
  {
    ...{ ...PLAIN, type: "stream", state: "established", inode: 7597 },
    ...{ local: { cid: 1, port: 6100 }, peer: { cid: 1, port: 4_080_531_966 } },
  },
];

const entry = (fields: readonly number[], length = 32) => {
  const bytes = new Uint8Array(length);
  bytes.set(fields);
  return bytes;
};

describe("the kernel's list of vsock sockets", () => {
  test("is requested for all states of AF_VSOCK", () => {
    expect(encodeVsockDiagRequest().toHex()).toBe(
      "28000000ffffffff00000000000000000000000000000000",
    );
  });

  test("is read from recorded bytes", () => {
    const reader = new NetlinkAnswerReader(1, 10);
    const entries = Uint8Array.fromHex(RECORDED.slice(0, 3).join(""));
    expect(reader.push(entries)).toBeUndefined();
    const answer = reader.push(Uint8Array.fromHex(RECORDED[3] ?? ""));
    expect(answer?.errno).toBe(0);
    expect(answer?.messages.map(({ payload }) => decodeVsockSocket(payload))).toEqual(EXPECTED);
  });

  test.each([
    [1, "stream"],
    [2, "dgram"],
    [5, "seqpacket"],
    [7, "type 7"],
  ])("has the type %d as %s", (number, name) => {
    expect(decodeVsockSocket(entry([40, number, 1])).type).toBe(name);
  });

  test.each([
    [1, "established"],
    [2, "syn-sent"],
    [7, "closed"],
    [10, "listening"],
    [11, "closing"],
    [12, "state 12"],
  ])("has the state %d as %s", (number, name) => {
    expect(decodeVsockSocket(entry([40, 1, number])).state).toBe(name);
  });

  test.each([
    [0, false, false],
    [1, true, false],
    [2, false, true],
    [3, true, true],
  ])("has the shutdown %d", (bits, isReceiveShutdown, isSendShutdown) => {
    const socket = decodeVsockSocket(entry([40, 1, 1, bits], 40));
    expect(socket).toMatchObject({ isReceiveShutdown, isSendShutdown });
  });

  test("is refused if an entry is short, or of another family", () => {
    for (let length = 0; length < 32; length++) {
      const short = entry([40, 1, 1], 32).subarray(0, length);
      expect(() => decodeVsockSocket(short)).toThrow(`${length} bytes of the family`);
    }
    expect(() => decodeVsockSocket(entry([1, 1, 1]))).toThrow("32 bytes of the family 1");
  });
});
