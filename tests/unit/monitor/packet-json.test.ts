import { expect, test } from "bun:test";
import { packetJson } from "../../../src/monitor/packet-json.ts";
import { decodeVsockmon } from "../../../src/protocols/pcap/vsockmon.ts";
import { packetBytes, type PacketFields } from "../../support/vsock-packets.ts";

const time = { seconds: 1_700_000_000, nanoseconds: 123_456_789 };

function json(fields: PacketFields, hasPayload = false) {
  const bytes = packetBytes(fields);
  const packet = decodeVsockmon(bytes, bytes.length);
  if (packet === undefined) throw new Error("no packet");
  return packetJson(time, packet, hasPayload);
}

test("a packet has all keys", () => {
  const fields = { op: 5, type: 2, flags: 3, payload: "hello", bufAlloc: 7, fwdCnt: 8 };
  expect(json(fields, true)).toEqual({
    time_ms: 1_700_000_000_123.456,
    src_cid: 2,
    src_port: 1024,
    dst_cid: 3,
    dst_port: 5000,
    kind: "payload",
    op: "rw",
    type: "seqpacket",
    flags: ["eom", "eor"],
    length_bytes: 5,
    buf_alloc_bytes: 7,
    fwd_cnt_bytes: 8,
    payload_base64: "aGVsbG8=",
  });
  expect(json(fields).payload_base64).toBeNull();
});

test("numbers without a name stay numbers", () => {
  expect(json({ op: 77, type: 9, monitorOp: 0, srcCid: 1n << 32n })).toMatchObject({
    op: 77,
    type: 9,
    kind: "unknown",
    src_cid: 2 ** 32,
  });
});

test("a packet of another transport has null for the fields of virtio", () => {
  expect(json({ transport: 1, payload: "abc" })).toMatchObject({
    op: null,
    type: null,
    flags: [],
    length_bytes: 3,
    buf_alloc_bytes: null,
    fwd_cnt_bytes: null,
  });
});
