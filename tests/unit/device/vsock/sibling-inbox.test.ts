/** Packets of sibling VMs: copied into the receiver's RX buffers, or queued up to a limit. */
import { describe, expect, test } from "bun:test";
import { RxBuffers } from "../../../../src/device/vsock/rx-buffers.ts";
import { SiblingInbox } from "../../../../src/device/vsock/sibling-inbox.ts";
import { TokenBucket } from "../../../../src/device/vsock/token-bucket.ts";
import { TxPacket } from "../../../../src/device/vsock/tx-packet.ts";
import { Op, PacketHeader, PacketType } from "../../../../src/protocols/virtio-vsock/packet.ts";
import { PlainGuest } from "../../../support/plain-guest.ts";
import { type PacketFields, VsockDriver } from "../../../support/vsock-driver.ts";

const HEADER_BYTES = 44;
/** As the documentation has them. */
const LIMIT_BYTES = 4 * 1024 * 1024;
const PACKET_COST_BYTES = 128;
const STUCK_MS = 2000;

const PAYLOAD = Uint8Array.from({ length: 100 }, (_, index) => index + 1);
const RECORD = { op: Op.Rw, type: PacketType.Seqpacket, flags: 1, srcPort: 1024, dstPort: 5000 };

/** Two guests, and the inbox of the second one. */
function guests() {
  const [sender, receiver] = [new PlainGuest(), new PlainGuest()];
  const driver = new VsockDriver(sender, 7);
  const packet = new TxPacket(sender.table, 64);
  const buffers = new RxBuffers(receiver.table, 64, new TokenBucket(undefined, undefined, 0));
  const [rx] = receiver.running;
  const [, tx] = sender.running;
  if (rx === undefined || tx === undefined) throw new Error("the queues do not run");
  const inbox = new SiblingInbox();
  const nextBuffers = () => (buffers.peek(rx.queue) ? buffers : undefined);
  /** Delivers a packet of the sender. */
  const deliver = (fields: PacketFields) => {
    driver.send(fields);
    if (!tx.queue.pop(packet.chain) || !packet.read()) throw new Error("no packet was sent");
    return inbox.deliver(packet, nextBuffers, 0);
  };
  /** Offers RX buffers, with so many bytes for payload. */
  const offer = (bytes: number, count = 1) =>
    receiver.offer(receiver.rings[0], HEADER_BYTES + bytes, count);
  const fill = () => {
    const next = nextBuffers();
    if (next === undefined) throw new Error("the receiver has no buffer");
    return inbox.fill(next);
  };
  const received = () => {
    rx.queue.publish();
    return receiver.received();
  };
  return { inbox, deliver, offer, fill, received };
}

const sizesAndFlags = (packets: { header: PacketHeader; payload: Uint8Array }[]) =>
  packets.map(({ header, payload }) => [header.len, payload.length, header.flags]);

const joined = (packets: { payload: Uint8Array }[]) => [
  ...Buffer.concat(packets.map(({ payload }) => payload)),
];

describe("a packet of a sibling", () => {
  test("is copied into a buffer at once if one is offered", () => {
    const { inbox, deliver, offer, received } = guests();
    offer(200);
    expect(deliver({ ...RECORD, payload: PAYLOAD, pieces: 3 })).toBe(true);
    const packets = received();
    expect(packets[0]?.header).toMatchObject({ ...RECORD, srcCid: 7, len: 100 });
    expect([joined(packets), inbox.hasPending]).toEqual([[...PAYLOAD], false]);
  });

  test("is split over buffers, and only its last part ends the record", () => {
    const { inbox, deliver, offer, received } = guests();
    offer(40, 4);
    expect(deliver({ ...RECORD, payload: PAYLOAD })).toBe(true);
    const packets = received();
    expect(sizesAndFlags(packets)).toEqual([
      [40, 40, 0],
      [40, 40, 0],
      [20, 20, 1],
    ]);
    expect([joined(packets), inbox.hasPending]).toEqual([[...PAYLOAD], false]);
  });

  test("of a stream keeps its flags in each part", () => {
    const { deliver, offer, received } = guests();
    offer(60, 2);
    deliver({ ...RECORD, type: PacketType.Stream, payload: PAYLOAD });
    expect(sizesAndFlags(received())).toEqual([
      [60, 60, 1],
      [40, 40, 1],
    ]);
  });

  test("is queued as far as no buffer is offered, and its parts follow", () => {
    const { inbox, deliver, offer, fill, received } = guests();
    offer(40);
    expect(deliver({ ...RECORD, payload: PAYLOAD })).toBe(true);
    expect(inbox.hasPending).toBe(true);
    offer(50);
    expect([fill(), inbox.hasPending]).toEqual([50, true]);
    offer(50);
    expect([fill(), inbox.hasPending]).toEqual([10, false]);
    const packets = received();
    expect(sizesAndFlags(packets)).toEqual([
      [40, 40, 0],
      [50, 50, 0],
      [10, 10, 1],
    ]);
    expect(joined(packets)).toEqual([...PAYLOAD]);
    offer(1);
    expect([fill(), received()]).toEqual([0, []]);
  });

  test("does not overtake those that are queued", () => {
    const { deliver, offer, fill, received } = guests();
    deliver({ ...RECORD, payload: Uint8Array.of(1) });
    offer(100, 3);
    deliver({ ...RECORD, payload: Uint8Array.of(2) });
    expect(received()).toEqual([]);
    fill();
    fill();
    deliver({ ...RECORD, payload: Uint8Array.of(3) });
    expect(joined(received())).toEqual([1, 2, 3]);
  });

  test("has no more payload than its chain, and none unless it is an RW packet", () => {
    const { deliver, offer, received } = guests();
    offer(200, 2);
    deliver({ ...RECORD, payload: PAYLOAD, len: 200 });
    deliver({ ...RECORD, op: Op.CreditUpdate, payload: PAYLOAD });
    expect(sizesAndFlags(received())).toEqual([
      [100, 100, 1],
      [0, 0, 1],
    ]);
  });
});

/** An inbox whose guest offers no buffers, but for those of `read`. */
function unreadInbox() {
  const inbox = new SiblingInbox();
  const deliver = (bytes: number, now = 0) => {
    const header = Object.assign(new PacketHeader(), { op: Op.Rw, len: bytes });
    const packet = { header, bytes, copyTo: () => {} } as unknown as TxPacket;
    return inbox.deliver(packet, () => undefined, now);
  };
  const buffersOf = (bytes: number) =>
    ({ bytes, write: () => {}, put: () => {} }) as unknown as RxBuffers;
  const read = (bytes: number) => inbox.fill(buffersOf(bytes));
  /** Queues packets that cost so many bytes together. */
  const queue = (bytes: number) => {
    const each = 64 * 1024;
    for (let left = bytes; left > 0; left -= each) {
      expect(deliver(Math.min(left, each) - PACKET_COST_BYTES)).toBe(true);
    }
  };
  return { inbox, deliver, read, queue };
}

describe("an inbox", () => {
  test("holds 4 MiB, and each packet costs 128 bytes besides its payload", () => {
    const { deliver, queue } = unreadInbox();
    queue(LIMIT_BYTES - 1000);
    expect(deliver(1001)).toBe(false);
    expect(deliver(1000)).toBe(true);
    expect(deliver(0)).toBe(false);
  });

  test("accepts a packet of any size if it is empty", () => {
    const { deliver } = unreadInbox();
    expect(deliver(2 * LIMIT_BYTES)).toBe(true);
    expect(deliver(0)).toBe(false);
  });

  test("has space again for as much as its guest has read", () => {
    const { deliver, read, queue } = unreadInbox();
    queue(LIMIT_BYTES);
    expect(deliver(1)).toBe(false);
    const first = 64 * 1024 - PACKET_COST_BYTES;
    expect([read(first - 1), read(first)]).toEqual([first - 1, 1]);
    expect(deliver(64 * 1024 + 1)).toBe(false);
    expect(deliver(64 * 1024)).toBe(true);
  });

  test("is stuck if its guest reads nothing for more than two seconds after the first refusal", () => {
    const { inbox, deliver, read, queue } = unreadInbox();
    queue(LIMIT_BYTES);
    for (const now of [1000, 1000 + STUCK_MS]) {
      expect([deliver(1, now), inbox.isStuck]).toEqual([false, false]);
    }
    expect([deliver(1, 1001 + STUCK_MS), inbox.isStuck]).toEqual([false, true]);
    // A part of a packet that is read is enough to wait again.
    read(1);
    expect(inbox.isStuck).toBe(false);
    expect([deliver(1, 9000), inbox.isStuck]).toEqual([false, false]);
    expect([deliver(1, 9001 + STUCK_MS), inbox.isStuck]).toEqual([false, true]);
  });

  test("that is cleared is as a new one", () => {
    const { inbox, deliver, read, queue } = unreadInbox();
    queue(LIMIT_BYTES);
    deliver(1, 1000);
    read(10);
    deliver(1, 1000);
    deliver(1, 9000);
    expect([inbox.isStuck, inbox.hasPending]).toEqual([true, true]);
    inbox.clear();
    expect([inbox.isStuck, inbox.hasPending, read(10)]).toEqual([false, false, 0]);
    queue(LIMIT_BYTES - 20);
    expect([deliver(21, 20_000), inbox.isStuck]).toEqual([false, false]);
    expect(deliver(20)).toBe(true);
    // The whole first packet is left.
    expect(read(LIMIT_BYTES)).toBe(64 * 1024 - PACKET_COST_BYTES);
  });
});
