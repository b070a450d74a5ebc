/** Which packets of a guest are processed, and what stops that. */
import { describe, expect, test } from "bun:test";
import type { Muxer } from "../../../../src/device/vsock/muxer.ts";
import { PendingResets } from "../../../../src/device/vsock/pending-resets.ts";
import type { Delivery, Siblings } from "../../../../src/device/vsock/siblings.ts";
import { DeviceStatistics } from "../../../../src/device/vsock/statistics.ts";
import { TokenBucket } from "../../../../src/device/vsock/token-bucket.ts";
import type { TxPacket } from "../../../../src/device/vsock/tx-packet.ts";
import { type TxMode, TxProcessor } from "../../../../src/device/vsock/tx-processor.ts";
import type { EventLoop } from "../../../../src/io/event-loop.ts";
import { Op } from "../../../../src/protocols/virtio-vsock/packet.ts";
import { PlainGuest } from "../../../support/plain-guest.ts";
import { VsockDriver } from "../../../support/vsock-driver.ts";

/** As the documentation has it. */
const PACKETS_PER_ROUND = 512;
const ENTRIES = 1024;
const HEADER_BYTES = 44;
const CID = { guest: 7, sibling: 8 };
const HALF_OF_RESETS = 2048;
const NEXT = 1;

function processor(rateBytes?: number) {
  const guest = new PlainGuest({ entries: ENTRIES });
  const driver = new VsockDriver(guest, CID.guest);
  const statistics = new DeviceStatistics();
  const rate = new TokenBucket(rateBytes, rateBytes, 0);
  const wakeUps: (number | "soon")[] = [];
  const loop = {
    noLaterThan: (time: number) => void wakeUps.push(time),
    soon: () => void wakeUps.push("soon"),
  };
  const [toHost, toSiblings]: number[][] = [[], []];
  const resets = new PendingResets();
  const onHostPacket: (() => void)[] = [];
  const muxer = {
    resets,
    onPacket: ({ header }: TxPacket) => {
      toHost?.push(header.srcPort);
      for (const action of onHostPacket) action();
    },
  };
  const deliveries: Delivery[] = [];
  const siblings = {
    forward: ({ header }: TxPacket) => {
      toSiblings?.push(header.srcPort);
      return deliveries.shift() ?? "done";
    },
  };
  const [, running] = guest.running;
  const [, ring] = guest.rings;
  if (running === undefined) throw new Error("the TX queue does not run");
  const tx = new TxProcessor({
    ...{ guestCid: CID.guest, queueSize: ENTRIES, table: guest.table, queues: guest.queues },
    ...{ loop: loop as unknown as EventLoop, muxer: muxer as unknown as Muxer },
    ...{ siblings: siblings as unknown as Siblings, rate, statistics },
  });
  const send = (srcPort: number, payload = 0, dstCid = 2) =>
    driver.send({ op: Op.Rw, srcPort, dstPort: 1, dstCid, payload: new Uint8Array(payload) });
  const all = { guest, driver, ring, running, tx, rate, resets, statistics, wakeUps, send };
  return { ...all, toHost, toSiblings, deliveries, onHostPacket };
}

/** Offers the same chain so many times: a packet of the host's in so many descriptors. */
function repeat({ driver, ring }: ReturnType<typeof processor>, count: number, descriptors = 1) {
  const bytes = HEADER_BYTES + descriptors - 1;
  driver.send({ srcPort: 1, payload: new Uint8Array(bytes - HEADER_BYTES), pieces: 1 });
  const address = Number(driver.guest.view.getBigUint64(ring.addresses.descriptors, true));
  for (let index = 1; index < descriptors; index++) {
    ring.describe(index - 1, {
      ...{ address: index === 1 ? address : address + HEADER_BYTES + index - 2 },
      ...{ length: index === 1 ? HEADER_BYTES : 1, flags: NEXT, next: index },
    });
    ring.describe(index, { address: address + HEADER_BYTES + index - 1, length: 1 });
  }
  for (let sent = 1; sent < count; sent++) ring.offer(0);
}

describe("the TX queue", () => {
  test("is processed in order, each chain is returned, and the guest signalled once", () => {
    const { guest, tx, ring, statistics, send, toHost } = processor();
    for (const [index, port] of [11, 12, 13].entries()) send(port, index);
    expect(tx.process("rated")).toBe(false);
    expect(toHost).toEqual([11, 12, 13]);
    expect([0, 1, 2].map((index) => ring.used(index))).toEqual([
      { head: 0, length: 0 },
      { head: 1, length: 0 },
      { head: 2, length: 0 },
    ]);
    expect([ring.usedIndex, guest.signals[1]]).toEqual([3, 1]);
    expect(statistics).toMatchObject({ packetsFromGuest: 3, singleDescriptorFromGuest: 2 });
    // Kicks are asked for: the next packet announces itself.
    expect(ring.availableEvent).toBe(3);
  });

  test.each([
    [PACKETS_PER_ROUND - 1, 1, PACKETS_PER_ROUND - 1, false],
    [PACKETS_PER_ROUND, 1, PACKETS_PER_ROUND, true],
    [PACKETS_PER_ROUND + 1, 15, PACKETS_PER_ROUND, true],
    // Chains of 16 descriptors and more count twice.
    [255, 16, 255, false],
    [257, 31, 256, true],
    [257, 32, 171, true],
  ])(
    "of %d packets in %d descriptors is processed up to a limit",
    (count, pieces, done, isMore) => {
      const all = processor();
      repeat(all, count, pieces);
      expect([all.tx.process("rated"), all.ring.usedIndex]).toEqual([isMore, done]);
      expect(all.statistics.singleDescriptorFromGuest).toBe(0);
      all.tx.process("rated");
      expect(all.toHost).toHaveLength(count);
    },
  );

  test("that does not run is not processed", () => {
    const { tx, running, ring, send } = processor();
    send(1);
    running.isEnabled = false;
    expect([tx.process("rated"), ring.usedIndex]).toEqual([false, 0]);
  });

  test("has a packet that is sent while the kick is asked for", () => {
    const { tx, running, send, toHost } = processor();
    const { queue } = running;
    const enableKicks = queue.enableKicks.bind(queue);
    let port = 1;
    queue.enableKicks = () => {
      if (port < 3) send(++port);
      return enableKicks();
    };
    send(1);
    expect(tx.process("rated")).toBe(false);
    expect(toHost).toEqual([1, 2, 3]);
  });

  test("waits while the guest does not read its RSTs", () => {
    const { tx, ring, resets, send } = processor();
    for (let count = 0; count < HALF_OF_RESETS; count++) resets.push(2, 1, 1, 1);
    send(1);
    expect([tx.process("rated"), tx.process("all"), ring.usedIndex]).toEqual([false, false, 0]);
    // Nor does a kick matter then.
    expect(ring.availableEvent).toBe(0);
    resets.clear();
    tx.process("rated");
    expect(ring.usedIndex).toBe(1);
  });

  test("stops at the packet that uses up the VM's rate, and is awaited until it opens", () => {
    const { tx, ring, rate, wakeUps, send, toHost } = processor(1000);
    for (const port of [1, 2, 3]) send(port, 600);
    expect(tx.process("rated")).toBe(false);
    expect([toHost, wakeUps]).toEqual([[1, 2], [rate.opensAt]]);
    // Payload is counted, headers are not.
    expect(rate.opensAt).toBe(201);
    tx.process("rated");
    expect([ring.usedIndex, ring.availableEvent]).toEqual([2, 0]);
    rate.refill(rate.opensAt);
    tx.process("rated");
    expect(toHost).toEqual([1, 2, 3]);
  });

  test("that is about to stop is processed whatever the rate is", () => {
    const { tx, rate, send, toHost } = processor(1000);
    rate.consume(5000);
    for (const port of [1, 2, 3]) send(port, 600);
    expect(tx.process("all")).toBe(false);
    expect(toHost).toEqual([1, 2, 3]);
  });

  test("has chains that are too short for a packet: they are returned, and not counted", () => {
    const { driver, tx, ring, rate, statistics, toHost, toSiblings } = processor(1000);
    driver.sendBytes(new Uint8Array(HEADER_BYTES - 1).fill(CID.guest));
    expect([tx.process("rated"), ring.usedIndex]).toEqual([false, 1]);
    expect([toHost, toSiblings, statistics.packetsFromGuest]).toEqual([[], [], 0]);
    expect(rate.allowance).toBe(new TokenBucket(1000, 1000, 0).allowance);
  });
});

describe("a packet to a sibling", () => {
  test("is counted once it is delivered, and waits in the queue until then", () => {
    const { tx, ring, statistics, wakeUps, deliveries, send, toHost, toSiblings } = processor();
    deliveries.push("done", "retry");
    for (const port of [1, 2]) send(port, 0, CID.sibling);
    send(3);
    expect(tx.process("rated")).toBe(false);
    expect([toSiblings, toHost, wakeUps, ring.usedIndex]).toEqual([[1, 2], [], ["soon"], 1]);
    expect(statistics).toMatchObject({ packetsFromGuest: 1, packetsToSiblings: 1 });
    tx.process("rated");
    expect([toSiblings, toHost, ring.usedIndex]).toEqual([[1, 2, 2], [3], 3]);
    expect(statistics).toMatchObject({ packetsFromGuest: 3, packetsToSiblings: 2 });
  });

  test("whose inbox is full does not keep back others once the VMM has disconnected", () => {
    const { tx, ring, statistics, deliveries, send, toHost } = processor();
    deliveries.push("retry");
    send(1, 0, CID.sibling);
    send(2);
    tx.process("final");
    expect([toHost, ring.usedIndex]).toEqual([[2], 2]);
    expect(statistics).toMatchObject({ packetsFromGuest: 2, packetsToSiblings: 0 });
  });

  test("is ignored if it has another source CID", () => {
    const { driver, tx, ring, toHost, toSiblings } = processor();
    driver.send({ srcCid: CID.sibling, srcPort: 1, dstPort: 1 });
    driver.send({ srcCid: CID.sibling, srcPort: 2, dstPort: 1, dstCid: CID.sibling });
    tx.process("rated");
    expect([toHost, toSiblings, ring.usedIndex]).toEqual([[], [], 2]);
  });
});

test("every packet is shown to a tap", () => {
  const { tx, send } = processor();
  const shown: number[] = [];
  tx.tap = { onPacket: ({ srcPort }) => void shown.push(srcPort), onTime: () => {} };
  send(1);
  send(2, 0, CID.sibling);
  tx.process("rated");
  expect(shown).toEqual([1, 2]);
});

describe("a queue that stops", () => {
  const modes: [Exclude<TxMode, "rated">][] = [["all"], ["final"]];
  test.each(modes)(
    "in mode %p is processed up to its size, if its guest goes on to send",
    (mode) => {
      const all = processor();
      repeat(all, 1);
      all.onHostPacket.push(() => all.ring.offer(0));
      all.tx.finish(mode);
      expect(all.toHost).toHaveLength(ENTRIES);
    },
  );

  test("is processed once if that is enough", () => {
    const { tx, running, send, toHost } = processor();
    const { queue } = running;
    let rounds = 0;
    const enableKicks = queue.enableKicks.bind(queue);
    queue.enableKicks = () => (rounds++, enableKicks());
    send(1);
    tx.finish("all");
    expect([toHost, rounds]).toEqual([[1], 1]);
  });

  test("has its last packets processed despite RSTs that are not read, if the VMM has disconnected", () => {
    const { tx, resets, send, toHost } = processor();
    for (let count = 0; count < HALF_OF_RESETS; count++) resets.push(2, 1, 1, 1);
    send(1);
    tx.finish("all");
    expect([toHost, resets.count]).toEqual([[], HALF_OF_RESETS]);
    tx.finish("final");
    expect([toHost, resets.count]).toEqual([[1], 0]);
  });
});
