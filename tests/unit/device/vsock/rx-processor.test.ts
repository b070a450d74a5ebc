/** Which packets are written into RX buffers, in which order, and when that stops. */
import { describe, expect, test } from "bun:test";
import { Muxer } from "../../../../src/device/vsock/muxer.ts";
import { RxProcessor } from "../../../../src/device/vsock/rx-processor.ts";
import { SiblingInbox } from "../../../../src/device/vsock/sibling-inbox.ts";
import { DeviceStatistics } from "../../../../src/device/vsock/statistics.ts";
import { TokenBucket } from "../../../../src/device/vsock/token-bucket.ts";
import type { TxPacket } from "../../../../src/device/vsock/tx-packet.ts";
import { EventLoop } from "../../../../src/io/event-loop.ts";
import { Op, PacketHeader } from "../../../../src/protocols/virtio-vsock/packet.ts";
import { PlainGuest } from "../../../support/plain-guest.ts";

/** As the documentation has it. */
const PACKETS_PER_ROUND = 512;
const BUFFER_BYTES = 4096;
const CID = { guest: 7, sibling: 8 };

function processor(rateBytes?: number) {
  const guest = new PlainGuest({ entries: 1024 });
  const statistics = new DeviceStatistics();
  const rate = new TokenBucket(rateBytes, rateBytes, 0);
  const inbox = new SiblingInbox();
  const wakeUps: number[] = [];
  const loop = { noLaterThan: (time: number) => void wakeUps.push(time) } as unknown as EventLoop;
  const muxer = new Muxer({
    ...{ guestCid: CID.guest, bufAlloc: 1, maxBufAlloc: 1, maxConnections: 1, connectTimeoutMs: 1 },
    ...{ statistics, loop, dial: () => {}, onLost: () => {} },
  });
  const { table, queues } = guest;
  const all = { queueSize: 1024, table, loop, queues, muxer, inbox, rate, statistics };
  const rx = new RxProcessor(all);
  const [ring] = guest.rings;
  const [running] = guest.running;
  if (running === undefined) throw new Error("the RX queue does not run");
  const offer = (count: number) => guest.offer(ring, BUFFER_BYTES, count);
  /** Queues RSTs that belong to no connection. */
  const reset = (count: number) => {
    for (let port = 0; port < count; port++) muxer.resets.push(2, port, port, 1);
  };
  return { guest, rx, ring, running, muxer, inbox, rate, statistics, wakeUps, offer, reset };
}

/** Queues packets of a sibling VM, while its peer offers no buffer. */
function sendFromSibling(inbox: SiblingInbox, count: number, bytes = 0): void {
  const header = Object.assign(new PacketHeader(), { srcCid: CID.sibling, op: Op.Rw, len: bytes });
  const packet = { header, bytes, copyTo: () => {} } as unknown as TxPacket;
  for (let sent = 0; sent < count; sent++) inbox.deliver(packet, () => undefined, 0);
}

describe("the RX queue", () => {
  test.each([
    [PACKETS_PER_ROUND - 1, PACKETS_PER_ROUND - 1, false],
    [PACKETS_PER_ROUND, PACKETS_PER_ROUND, true],
    [PACKETS_PER_ROUND + 1, PACKETS_PER_ROUND, true],
  ])("of %d packets is sent up to 512 a round, which is reported", (pending, sent, isLimited) => {
    const fromMuxer = processor();
    fromMuxer.offer(1000);
    fromMuxer.reset(pending);
    expect([fromMuxer.rx.process(), fromMuxer.ring.usedIndex]).toEqual([isLimited, sent]);
    const fromSibling = processor();
    fromSibling.offer(1000);
    sendFromSibling(fromSibling.inbox, pending);
    expect([fromSibling.rx.process(), fromSibling.ring.usedIndex]).toEqual([isLimited, sent]);
    expect(fromSibling.statistics.packetsToGuest).toBe(sent);
  });

  test("signals the guest once for all packets of a round", () => {
    const { rx, guest, ring, offer, reset } = processor();
    offer(10);
    reset(10);
    expect(rx.process()).toBe(false);
    expect([ring.usedIndex, guest.signals[0]]).toEqual([10, 1]);
  });

  test("that does not run is sent nothing", () => {
    const { rx, ring, running, muxer, offer, reset } = processor();
    offer(1);
    reset(1);
    running.isEnabled = false;
    expect([rx.process(), ring.usedIndex, muxer.resets.count]).toEqual([false, 0, 1]);
    expect(rx.next()).toBeUndefined();
  });

  test("asks for a kick only if a packet waits for a buffer", () => {
    const { rx, ring, muxer, offer, reset } = processor();
    offer(1);
    reset(1);
    rx.process();
    rx.process();
    expect([ring.usedIndex, ring.availableEvent]).toEqual([1, 0]);
    reset(1);
    rx.process();
    expect([ring.usedIndex, ring.availableEvent, muxer.resets.count]).toEqual([1, 1, 1]);
  });

  test("uses a buffer that is offered while the kick is asked for", () => {
    const { rx, ring, running, muxer, offer, reset } = processor();
    const { queue } = running;
    const enableKicks = queue.enableKicks.bind(queue);
    let offered = 0;
    queue.enableKicks = () => {
      if (offered++ === 0) offer(1);
      return enableKicks();
    };
    reset(2);
    expect([rx.process(), ring.usedIndex, muxer.resets.count]).toEqual([false, 1, 1]);
  });
});

describe("packets of a sibling", () => {
  test("are sent first, and RSTs without a connection wait for all of them", () => {
    const { rx, ring, inbox, muxer, offer, reset } = processor();
    offer(2);
    reset(1);
    sendFromSibling(inbox, 2);
    rx.process();
    expect([ring.usedIndex, inbox.hasPending, muxer.resets.count]).toEqual([2, false, 1]);
    offer(1);
    rx.process();
    expect([ring.usedIndex, muxer.resets.count]).toEqual([3, 0]);
  });

  test("wait while the VM's rate is used up, and hold back the RSTs after them", () => {
    const { rx, ring, inbox, muxer, rate, wakeUps, offer, reset } = processor(1000);
    offer(10);
    reset(1);
    sendFromSibling(inbox, 2, 4000);
    rx.process();
    // One packet may exceed the rate.
    expect([ring.usedIndex, inbox.hasPending, muxer.resets.count]).toEqual([1, true, 1]);
    expect([muxer.holdsData, wakeUps]).toEqual([true, [rate.opensAt]]);
    rx.process();
    expect([ring.usedIndex, muxer.holdsResets]).toEqual([1, true]);
    rate.refill(rate.opensAt);
    expect([rx.process(), ring.usedIndex, muxer.resets.count]).toEqual([false, 3, 0]);
  });

  test("have a buffer if one is offered, the queue runs and the rate is open; each is counted", () => {
    const { rx, running, rate, statistics, offer } = processor(1000);
    expect(rx.next()).toBeUndefined();
    offer(1);
    running.isEnabled = false;
    expect(rx.next()).toBeUndefined();
    running.isEnabled = true;
    rate.consume(1000);
    expect([rx.next(), statistics.packetsToGuest]).toEqual([undefined, 0]);
    rate.refill(1);
    expect(rx.next()).toBe(rx.buffers);
    expect(statistics.packetsToGuest).toBe(1);
  });
});
