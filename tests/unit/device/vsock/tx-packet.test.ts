import { describe, expect, test } from "bun:test";
import { TxPacket } from "../../../../src/device/vsock/tx-packet.ts";
import { Op } from "../../../../src/protocols/virtio-vsock/packet.ts";
import { PlainGuest } from "../../../support/plain-guest.ts";
import { VsockDriver } from "../../../support/vsock-driver.ts";

const HEADER_BYTES = 44;
const GUEST_CID = 7;
const PAYLOAD = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
const FIELDS = { srcPort: 1024, dstPort: 5000, op: Op.Rw, flags: 1, fwdCnt: 9 };

function guestWithDriver() {
  const guest = new PlainGuest();
  const driver = new VsockDriver(guest, GUEST_CID);
  const packet = new TxPacket(guest.table, 64);
  const [, tx] = guest.running;
  if (tx === undefined) throw new Error("the TX queue does not run");
  /** Reads the next packet from the TX queue; returns whether its chain holds a header. */
  const read = () => {
    if (!tx.queue.pop(packet.chain)) throw new Error("the guest has sent no packet");
    return packet.read();
  };
  return { guest, driver, packet, read };
}

// Of 54 bytes: one piece, a header of its own, and a header in two, three and nine pieces.
describe.each([1, 2, 3, 6, 54])("a packet in %d pieces", (pieces) => {
  function sent() {
    const all = guestWithDriver();
    all.driver.send({ ...FIELDS, payload: PAYLOAD, pieces });
    expect(all.read()).toBe(true);
    return all.packet;
  }

  test("has its header and the size of its payload", () => {
    const packet = sent();
    expect(packet.header).toMatchObject({ ...FIELDS, srcCid: GUEST_CID, dstCid: 2, len: 10 });
    expect(packet.bytes).toBe(PAYLOAD.length);
    expect(packet.chain.descriptors).toBe(pieces);
  });

  test("has its payload copied from any offset on", () => {
    const packet = sent();
    const [all, part] = [new Uint8Array(10), new Uint8Array(3)];
    packet.copyTo(all, 0);
    packet.copyTo(part, 6);
    expect([[...all], [...part]]).toEqual([[...PAYLOAD], [7, 8, 9]]);
  });

  test("has its first bytes of payload for writev(2), each time anew", () => {
    const packet = sent();
    expect(packet.vector(10).bytes).toBe(10);
    expect(packet.vector(4).bytes).toBe(4);
    expect(packet.vector(0).bytes).toBe(0);
  });

  test("is shown to a tap with its header as bytes", () => {
    const packet = sent();
    let shown: unknown[] = [];
    packet.showTo({
      onPacket: (header, headerBytes, _table, list, bytes) => {
        const view = new DataView(headerBytes.buffer);
        const ports = [view.getUint32(16, true), view.getUint32(20, true)];
        shown = [header, headerBytes.length, ports, list, bytes];
      },
      onTime: () => {},
    });
    expect(shown).toEqual([packet.header, HEADER_BYTES, [1024, 5000], packet.pieces, 10]);
  });
});

test("a header on its own is a packet without payload", () => {
  const { driver, packet, read } = guestWithDriver();
  driver.send(FIELDS);
  expect([read(), packet.bytes, packet.header.srcPort]).toEqual([true, 0, 1024]);
});

test("a header in a short piece and a long one is read from both", () => {
  const { guest, driver, packet, read } = guestWithDriver();
  driver.send({ ...FIELDS, payload: PAYLOAD });
  const [, ring] = guest.rings;
  const begin = Number(guest.view.getBigUint64(ring.addresses.descriptors, true));
  // Its first 20 bytes are somewhere else.
  const first = guest.data + 0x8_0000;
  guest.bytes.copyWithin(first, begin, begin + 20);
  ring.describe(0, { address: first, length: 20, flags: 1, next: 1 });
  ring.describe(1, { address: begin + 20, length: 60 });
  expect(read()).toBe(true);
  expect(packet.header).toMatchObject({ ...FIELDS, srcCid: GUEST_CID, dstCid: 2, len: 10 });
});

test.each([1, 43])("a chain of %d bytes is not a packet", (length) => {
  const { driver, packet, read } = guestWithDriver();
  driver.sendBytes(new Uint8Array(length).fill(1));
  expect([read(), packet.bytes]).toEqual([false, 0]);
});
