import { describe, expect, test } from "bun:test";
import {
  encodeFileHeader,
  FILE_HEADER_BYTES,
  LINKTYPE_VSOCK,
} from "../../../../src/protocols/pcap/file-format.ts";
import {
  RECORD_BEGIN_BYTES,
  snapBytesFor,
  writeRecordBegin,
} from "../../../../src/protocols/pcap/vsock-record.ts";
import {
  VIRTIO_VSOCK_HEADER_BYTES,
  Op,
  PacketHeader,
} from "../../../../src/protocols/virtio-vsock/packet.ts";
import { readPcap } from "../../../support/pcap.ts";

function headerOf(op: number): Uint8Array {
  const header = new PacketHeader();
  Object.assign(header, { srcCid: 5, dstCid: 2, srcPort: 0xffff_fff0, dstPort: 52, op, len: 9000 });
  const bytes = new Uint8Array(VIRTIO_VSOCK_HEADER_BYTES);
  header.write(new DataView(bytes.buffer), 0);
  return bytes;
}

describe("a capture", () => {
  test("is what another reader reads", () => {
    const payload = new TextEncoder().encode("hello");
    const begin = FILE_HEADER_BYTES + 3;
    // Over other bytes, as in a buffer that is used again.
    const file = new Uint8Array(begin + RECORD_BEGIN_BYTES + payload.length).fill(0xff);
    file.set(encodeFileHeader(snapBytesFor(100)));
    const time = 1_700_000_000_123.456;
    const facts = { time, op: Op.Rw, captured: 5, length: 9000 };
    writeRecordBegin(new DataView(file.buffer), begin, headerOf(Op.Rw), facts);
    file.set(payload, begin + RECORD_BEGIN_BYTES);
    // Written at an odd place, read where it belongs.
    const whole = Buffer.concat([file.subarray(0, FILE_HEADER_BYTES), file.subarray(begin)]);
    const { packets, linkType, snapBytes } = readPcap(whole);
    expect([linkType, snapBytes]).toEqual([LINKTYPE_VSOCK, 32 + 44 + 100]);
    expect(packets).toEqual([
      {
        seconds: 1_700_000_000,
        srcCid: 5n,
        dstCid: 2n,
        srcPort: 0xffff_fff0,
        dstPort: 52,
        monitorOp: 4,
        op: Op.Rw,
        len: 9000,
        payload: new Uint8Array(whole.subarray(-5)),
        originalBytes: 32 + 44 + 9000,
      },
    ]);
    expect(new DataView(file.buffer).getUint32(begin + 4, true)).toBe(123_456);
    // The reserved field of af_vsockmon_hdr.
    expect([...file.subarray(begin + 16 + 30, begin + 16 + 32)]).toEqual([0, 0]);
  });

  test.each([
    [Op.Request, 1],
    [Op.Response, 1],
    [Op.Rst, 2],
    [Op.Shutdown, 2],
    [Op.CreditUpdate, 3],
    [Op.CreditRequest, 3],
    [Op.Rw, 4],
    [Op.Invalid, 0],
    [77, 0],
  ])("has op %d of virtio as op %d of vsockmon", (op, monitorOp) => {
    const record = new Uint8Array(RECORD_BEGIN_BYTES);
    const facts = { time: 0, op, captured: 0, length: 0 };
    writeRecordBegin(new DataView(record.buffer), 0, headerOf(op), facts);
    const [packet] = readPcap(Buffer.concat([encodeFileHeader(snapBytesFor(0)), record])).packets;
    expect(packet).toMatchObject({ monitorOp, op });
  });
});
