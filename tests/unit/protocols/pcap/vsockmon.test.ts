import { describe, expect, test } from "bun:test";
import { decodeVsockmon } from "../../../../src/protocols/pcap/vsockmon.ts";
import { packetBytes } from "../../../support/vsock-packets.ts";

describe("a packet of vsockmon", () => {
  test("is decoded field by field", () => {
    const bytes = packetBytes({
      srcCid: 0xffff_fffen,
      dstCid: 7n,
      srcPort: 0xffff_ffff,
      dstPort: 53,
      monitorOp: 2,
      op: 4,
      type: 2,
      flags: 0x8000_0003,
      len: 77,
      bufAlloc: 0xffff_fff1,
      fwdCnt: 0xffff_fff2,
      payload: "abc",
    });
    // Within other bytes.
    const around = Buffer.concat([Buffer.alloc(3), bytes]);
    expect(decodeVsockmon(around.subarray(3), bytes.length + 10)).toEqual({
      srcCid: 0xffff_fffe,
      dstCid: 7,
      srcPort: 0xffff_ffff,
      dstPort: 53,
      monitorOp: 2,
      transport: 2,
      virtio: {
        len: 77,
        type: 2,
        op: 4,
        flags: 0x8000_0003,
        bufAlloc: 0xffff_fff1,
        fwdCnt: 0xffff_fff2,
      },
      payload: Buffer.from("abc"),
      payloadBytes: 13,
    });
  });

  test("has CIDs beyond 32 bits", () => {
    const packet = decodeVsockmon(packetBytes({ srcCid: 1n << 32n, dstCid: 2n ** 64n - 1n }), 76);
    expect(packet).toMatchObject({ srcCid: 1n << 32n, dstCid: 2n ** 64n - 1n });
  });

  test("of another transport has its payload after that header", () => {
    const bytes = packetBytes({ transport: 1, payload: "abc" });
    new DataView(bytes.buffer).setUint16(28, 0, true);
    expect(decodeVsockmon(bytes, bytes.length)).toMatchObject({
      transport: 1,
      virtio: undefined,
      payload: bytes.subarray(32),
      payloadBytes: 47,
    });
  });

  test("with a longer header of virtio has its payload after it", () => {
    const bytes = packetBytes({ payload: "12abc" });
    new DataView(bytes.buffer).setUint16(28, 46, true);
    expect(decodeVsockmon(bytes, bytes.length)).toMatchObject({
      virtio: { op: 5 },
      payload: new Uint8Array(Buffer.from("abc")),
      payloadBytes: 3,
    });
    // A shorter one is not that header.
    new DataView(bytes.buffer).setUint16(28, 43, true);
    expect(decodeVsockmon(bytes, bytes.length)).toMatchObject({ virtio: undefined });
  });

  test("that is cut off has its captured bytes", () => {
    const bytes = packetBytes({ payload: "abc" });
    expect(decodeVsockmon(bytes.subarray(0, 31), 79)).toBeUndefined();
    for (const captured of [32, 50, 75]) {
      const packet = decodeVsockmon(bytes.subarray(0, captured), 79);
      expect(packet).toMatchObject({ srcPort: 1024, virtio: undefined, payloadBytes: 3 });
      expect(packet?.payload).toHaveLength(0);
    }
    expect(decodeVsockmon(bytes.subarray(0, 77), 79)).toMatchObject({
      virtio: { len: 3 },
      payload: new Uint8Array(Buffer.from("a")),
      payloadBytes: 3,
    });
    // A length that is shorter than the bytes which are there.
    expect(decodeVsockmon(bytes, 10)).toMatchObject({ payloadBytes: 3 });
  });
});
