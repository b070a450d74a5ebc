/** The chains of the RX queue: their capacity, and the packets that are written into them. */
import { describe, expect, test } from "bun:test";
import { MAX_CHAINS, RxBuffers } from "../../../../src/device/vsock/rx-buffers.ts";
import { TokenBucket } from "../../../../src/device/vsock/token-bucket.ts";
import { PieceList } from "../../../../src/device/vhost-user/memory-table.ts";
import { closeDescriptor, openPipe, writeDescriptor } from "../../../../src/ffi/socket.ts";
import { Op, PacketHeader } from "../../../../src/protocols/virtio-vsock/packet.ts";
import { PlainGuest } from "../../../support/plain-guest.ts";

const HEADER_BYTES = 44;
const NEXT = 1;
const WRITE = 2;

function rxQueue(rateBytes?: number) {
  const guest = new PlainGuest();
  const rate = new TokenBucket(rateBytes, rateBytes, 0);
  const buffers = new RxBuffers(guest.table, 64, rate);
  const [running] = guest.running;
  const [ring] = guest.rings;
  if (running === undefined) throw new Error("the RX queue does not run");
  const { queue } = running;
  /** Offers buffers with so many bytes for payload. */
  const offer = (bytes: number, count = 1) => guest.offer(ring, HEADER_BYTES + bytes, count);
  /** Offers one buffer in pieces of these lengths. */
  const offerPieces = (lengths: readonly number[], first = 0) => {
    for (const [index, length] of lengths.entries()) {
      const flags = WRITE | (index === lengths.length - 1 ? 0 : NEXT);
      const address = guest.data + (first + index) * 256;
      ring.describe(first + index, { address, length, flags, next: first + index + 1 });
    }
    ring.offer(first);
  };
  const put = (bytes: number, srcPort = 1) =>
    buffers.put(Object.assign(new PacketHeader(), { op: Op.Rw, srcPort, len: bytes }), bytes);
  const received = () => {
    queue.publish();
    return guest.received();
  };
  return { guest, ring, queue, rate, buffers, offer, offerPieces, put, received };
}

describe("the next chain", () => {
  test("is one that the guest has offered, and is known until it is used", () => {
    const { queue, buffers, offer, put } = rxQueue();
    expect(buffers.peek(queue)).toBe(false);
    offer(100);
    offer(50);
    expect([buffers.peek(queue), buffers.peek(queue), buffers.bytes]).toEqual([true, true, 100]);
    put(100);
    expect([buffers.peek(queue), buffers.bytes]).toEqual([true, 50]);
    put(50);
    expect(buffers.peek(queue)).toBe(false);
    expect(() => buffers.bytes).toThrow("has no chain");
  });

  test("has to hold a header and one byte", () => {
    const { queue, buffers, offer, offerPieces } = rxQueue();
    offer(1);
    expect([buffers.peek(queue), buffers.bytes]).toEqual([true, 1]);
    const other = rxQueue();
    other.offer(0);
    expect(() => other.buffers.peek(other.queue)).toThrow("44 bytes is too short for a packet");
    offerPieces([20, 24], 8);
    // Chains are read only as far as they are needed.
    expect(buffers.vector(1, 2).bytes).toBe(1);
    expect(() => buffers.vector(100, 2)).toThrow("44 bytes is too short for a packet");
  });

  test("holds no more than the VM's rate allows, but a page at least", () => {
    const { queue, rate, buffers, offer } = rxQueue(10_000);
    offer(20_000);
    buffers.peek(queue);
    expect(buffers.bytes).toBe(10_000);
    rate.consume(9_999);
    expect([buffers.bytes, buffers.vector(20_000, 1).bytes]).toEqual([4096, 4096]);
  });

  test("is read again after a change of the guest's memory, and in another queue", () => {
    const { guest, ring, queue, buffers, offer } = rxQueue();
    offer(100);
    buffers.peek(queue);
    ring.describe(0, { address: guest.data, length: HEADER_BYTES + 70, flags: WRITE });
    expect([buffers.peek(queue), buffers.bytes]).toEqual([true, 100]);
    guest.table.replace(guest.table.regions);
    expect([buffers.peek(queue), buffers.bytes]).toEqual([true, 70]);
    const [, tx] = guest.running;
    if (tx === undefined) throw new Error("the TX queue does not run");
    expect(buffers.peek(tx.queue)).toBe(false);
    expect([buffers.peek(queue), buffers.bytes]).toEqual([true, 70]);
  });
});

describe("the capacity for one readv(2)", () => {
  test.each([
    ["a limit of chains", 1000, 3, 300],
    ["a limit of bytes", 250, 10, 250],
    ["what the guest has offered", 1000, 10, 500],
    ["one byte", 1, 10, 1],
    ["no bytes", 0, 10, 0],
  ])("is up to %s", (_, length, chains, expected) => {
    const { queue, buffers, offer } = rxQueue();
    offer(100, 5);
    buffers.peek(queue);
    expect(buffers.vector(length, chains).bytes).toBe(expected);
    // Each call begins at the next chain.
    expect(buffers.vector(length, chains).bytes).toBe(expected);
  });

  test("is 32 chains at most, and those after used ones follow", () => {
    const { queue, buffers, offer, put } = rxQueue();
    offer(100, 40);
    buffers.peek(queue);
    expect(MAX_CHAINS).toBe(32);
    expect(buffers.vector(10_000, 40).bytes).toBe(3200);
    for (let used = 0; used < 20; used++) put(100);
    expect(buffers.vector(10_000, 40).bytes).toBe(2000);
  });

  test("is within the VM's rate, which counts payload", () => {
    const { queue, rate, buffers, offer, put } = rxQueue(10_000);
    offer(5000, 4);
    buffers.peek(queue);
    expect(buffers.vector(20_000, 4).bytes).toBe(10_000);
    put(5000);
    expect([buffers.vector(20_000, 4).bytes, rate.allowance]).toEqual([5000, 5000]);
  });

  test("ends with the chain whose pieces the system call has no space for", () => {
    const { queue, buffers, offerPieces } = rxQueue();
    // 1024 pieces are the limit of readv(2): 24 chains of 41, and 40 of the next one.
    const pieces = [HEADER_BYTES, ...Array.from({ length: 41 }, () => 2)];
    for (let chain = 0; chain < 26; chain++) offerPieces(pieces);
    buffers.peek(queue);
    expect(buffers.vector(10_000, 26)).toMatchObject({ bytes: 2048, count: 1024 });
  });

  test("is filled in the order of the chains, after their headers", () => {
    const { queue, buffers, offer, put, received } = rxQueue();
    const pipe = openPipe();
    offer(4, 3);
    buffers.peek(queue);
    writeDescriptor(pipe.write, Uint8Array.of(1, 2, 3, 4, 5, 6));
    expect(buffers.vector(100, 3).readv(pipe.read)).toBe(6);
    put(4, 11);
    put(2, 12);
    expect(received()).toMatchObject([
      { header: { srcPort: 11 }, payload: Uint8Array.of(1, 2, 3, 4) },
      { header: { srcPort: 12 }, payload: Uint8Array.of(5, 6) },
    ]);
    for (const fd of [pipe.read, pipe.write]) closeDescriptor(fd);
  });
});

describe("a packet", () => {
  test("returns its chain with the size of header and payload", () => {
    const { ring, queue, buffers, offer, put, received } = rxQueue();
    offer(100, 2);
    buffers.peek(queue);
    buffers.write(Uint8Array.of(7, 8, 9));
    put(3, 11);
    expect(received()).toMatchObject([{ header: { op: Op.Rw, srcPort: 11, len: 3 } }]);
    expect(ring.used(0)).toEqual({ head: 0, length: HEADER_BYTES + 3 });
    expect(queue.lastAvailable).toBe(1);
  });

  test("may have its header and payload in any pieces", () => {
    const { guest, queue, buffers, offerPieces, put } = rxQueue();
    offerPieces([20, 26, 10]);
    buffers.peek(queue);
    buffers.write(Uint8Array.of(7, 8, 9));
    put(3, 0x01020304);
    const at = (piece: number, length: number) => [
      ...guest.bytes.subarray(guest.data + piece * 256, guest.data + piece * 256 + length),
    ];
    // The source port is in bytes 16 to 19, the payload behind byte 44.
    expect(at(0, 20).slice(16)).toEqual([4, 3, 2, 1]);
    expect([at(1, 26).slice(24), at(2, 1)]).toEqual([[7, 8], [9]]);
  });

  test("has no byte of its header after a piece that is too short for it", () => {
    const { guest, queue, buffers, offerPieces, put } = rxQueue();
    offerPieces([20, 60]);
    buffers.peek(queue);
    put(0);
    // The operation is in bytes 30 and 31.
    const opIn = (piece: number, offset: number) =>
      guest.view.getUint16(guest.data + piece * 256 + offset, true);
    expect([opIn(0, 30), opIn(1, 10)]).toEqual([0, Op.Rw]);
  });

  test("of another guest is copied from any offset", () => {
    const { guest, queue, buffers, offer, put, received } = rxQueue();
    guest.bytes.set([1, 2, 3, 4, 5, 6, 7, 8], guest.data + 0x8_0000);
    const source = new PieceList(4);
    guest.table.translate(guest.data + 0x8_0000, 8, source);
    offer(100);
    buffers.peek(queue);
    buffers.copyFrom(source, 2, 5);
    put(5);
    expect(received()[0]?.payload).toEqual(Uint8Array.of(3, 4, 5, 6, 7));
  });

  test("in one descriptor is counted if it has payload", () => {
    const { queue, buffers, offer, offerPieces, put } = rxQueue();
    offer(10, 2);
    offerPieces([HEADER_BYTES, 10], 8);
    const counts = [1, 0, 1].map((bytes) => {
      buffers.peek(queue);
      put(bytes);
      return buffers.singleDescriptorPackets;
    });
    expect(counts).toEqual([1, 1, 1]);
  });

  test("is shown to a tap with its header as bytes", () => {
    const { queue, buffers, offer, put } = rxQueue();
    const shown: number[][] = [];
    buffers.tap = {
      onPacket: ({ srcPort }, headerBytes, _table, pieces, bytes) => {
        const port = new DataView(headerBytes.buffer).getUint32(16, true);
        shown.push([srcPort, port, headerBytes.length, pieces.bytes, bytes]);
      },
      onTime: () => {},
    };
    offer(10);
    buffers.peek(queue);
    put(3, 11);
    expect(shown).toEqual([[11, 11, HEADER_BYTES, HEADER_BYTES + 10, 3]]);
  });

  test("needs a chain", () => {
    const { put } = rxQueue();
    expect(() => put(0)).toThrow("has no chain");
  });
});
