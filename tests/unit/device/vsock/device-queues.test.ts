/** Start, stop and signals of a device's queues, as a VMM requests them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { DeviceQueues, QueueIndex } from "../../../../src/device/vsock/device-queues.ts";
import { DeviceStatistics } from "../../../../src/device/vsock/statistics.ts";
import { Chain } from "../../../../src/device/vhost-user/virtqueue.ts";
import { EPOLLET, EPOLLIN } from "../../../../src/ffi/epoll.ts";
import { clearEvent, openEvent, signalEvent } from "../../../../src/ffi/eventfd.ts";
import { closeDescriptor, openPipe, readDescriptor } from "../../../../src/ffi/socket.ts";
import type { EventHandler, EventLoop } from "../../../../src/io/event-loop.ts";
import { Feature } from "../../../../src/protocols/vhost-user/features.ts";
import { PlainGuest } from "../../../support/plain-guest.ts";

const { Rx, Tx, Event } = QueueIndex;
const ENTRIES = 4;

let descriptors: number[];
beforeEach(() => void (descriptors = []));
afterEach(() => {
  for (const fd of descriptors) closeDescriptor(fd);
});

function event(): number {
  const fd = openEvent();
  descriptors.push(fd);
  return fd;
}

function deviceQueues() {
  const guest = new PlainGuest({ entries: ENTRIES });
  const statistics = new DeviceStatistics();
  const calls: unknown[] = [];
  const watched = new Map<number, { events: number; handler: EventHandler }>();
  const loop = {
    add: (fd: number, events: number, handler: EventHandler) =>
      void watched.set(fd, { events, handler }),
    remove: (fd: number) => void watched.delete(fd),
  };
  const queues = new DeviceQueues(loop as unknown as EventLoop, guest.table, statistics, {
    onTxStopping: () => void calls.push("TX is stopping"),
    onOtherDriver: (isRestored) => void calls.push(isRestored ? "restored driver" : "other driver"),
    onReady: () => void calls.push("ready"),
    onReset: () => void calls.push("reset"),
  });
  const start = (ring: 0 | 1 | 2, { base = 0, call = undefined as number | undefined } = {}) => {
    const kick = event();
    const { addresses } = guest.rings[ring];
    const setup = { entries: ENTRIES, addresses, base, kick, call, err: undefined };
    queues.perform({ kind: "start", ring, setup }, 0n);
    return kick;
  };
  const stop = (ring: number) => queues.perform({ kind: "stop", ring }, 0n);
  /** The calls since the last time. */
  const takeCalls = () => calls.splice(0);
  /** Consumes so many chains of a queue. */
  const consume = (ring: 0 | 1 | 2, count: number) => {
    const { queue } = queues.enabled(ring) ?? {};
    for (let index = 0; index < count; index++) {
      guest.offer(guest.rings[ring], 64);
      expect(queue?.pop(new Chain(ENTRIES))).toBe(true);
      queue?.addUsed(0, 0);
    }
  };
  return { guest, statistics, queues, watched, start, stop, takeCalls, consume };
}

describe("a driver", () => {
  test("is ready once the RX and the TX queue run", () => {
    const { queues, start, takeCalls } = deviceQueues();
    start(Event);
    start(Tx);
    expect([queues.isReady, takeCalls()]).toEqual([false, []]);
    start(Rx);
    expect([queues.isReady, takeCalls()]).toEqual([true, ["ready"]]);
  });

  test("is not ready with the RX queue alone, nor again for the event queue", () => {
    const { queues, start, stop, takeCalls } = deviceQueues();
    start(Rx);
    expect([queues.isReady, takeCalls()]).toEqual([false, []]);
    start(Tx);
    expect(takeCalls()).toEqual(["ready"]);
    start(Event, { base: 7 });
    expect(takeCalls()).toEqual([]);
    stop(Rx);
    expect(queues.isReady).toBe(false);
  });

  test("is another one if a queue does not resume where it has stopped", () => {
    const { queues, start, stop, takeCalls, consume } = deviceQueues();
    start(Rx, { base: 5 });
    expect(takeCalls()).toEqual(["restored driver"]);
    stop(Rx);
    start(Rx);
    expect(takeCalls()).toEqual(["other driver"]);
    consume(Rx, 3);
    expect(queues.stopIndex(Rx)).toBe(3);
    stop(Rx);
    start(Rx, { base: 3 });
    expect(takeCalls()).toEqual([]);
    stop(Rx);
    queues.forgetPositions();
    start(Rx);
    expect(takeCalls()).toEqual([]);
  });

  test("that resets the device is reported", () => {
    const { queues, takeCalls } = deviceQueues();
    queues.perform({ kind: "reset" }, 0n);
    expect(takeCalls()).toEqual(["reset"]);
  });
});

describe("a queue", () => {
  test("is enabled when it starts, and may be disabled and stopped", () => {
    const { queues, watched, start, stop } = deviceQueues();
    expect(queues.enabled(Rx)).toBeUndefined();
    const kick = start(Rx);
    expect([queues.enabled(Rx)?.isEnabled, watched.has(kick)]).toEqual([true, true]);
    queues.perform({ kind: "enable", ring: Rx, enabled: false }, 0n);
    expect([queues.enabled(Rx), watched.has(kick)]).toEqual([undefined, true]);
    queues.perform({ kind: "enable", ring: Rx, enabled: true }, 0n);
    expect(queues.enabled(Rx)).toBeDefined();
    stop(Rx);
    stop(Rx);
    queues.perform({ kind: "enable", ring: Rx, enabled: true }, 0n);
    expect([queues.enabled(Rx), watched.size, queues.stopIndex(Rx)]).toEqual([undefined, 0, 0]);
  });

  test("of packets of the guest is processed once more before it stops or is disabled", () => {
    const { queues, start, takeCalls } = deviceQueues();
    for (const ring of [Rx, Event] as const) {
      start(ring);
      queues.stopIndex(ring);
      queues.perform({ kind: "enable", ring, enabled: false }, 0n);
    }
    start(Tx);
    takeCalls();
    queues.perform({ kind: "enable", ring: Tx, enabled: true }, 0n);
    expect(takeCalls()).toEqual([]);
    queues.stopIndex(Tx);
    expect(takeCalls()).toEqual(["TX is stopping"]);
    queues.perform({ kind: "enable", ring: Tx, enabled: false }, 0n);
    expect(takeCalls()).toEqual(["TX is stopping"]);
  });

  test.each([
    ["event indexes", Feature.EventIndex, [1, 0]],
    ["flags", Feature.NotifyOnEmpty | Feature.IndirectDescriptors, [0, 1]],
  ])("asks for kicks and calls with %s, as negotiated", (_, features, expected) => {
    const { guest, queues } = deviceQueues();
    const [ring] = guest.rings;
    const call = event();
    const setup = { entries: ENTRIES, addresses: ring.addresses, base: 0, kick: event(), call };
    queues.perform({ kind: "start", ring: Rx, setup: { ...setup, err: undefined } }, features);
    const running = queues.enabled(Rx);
    if (running === undefined) throw new Error("the queue does not run");
    guest.offer(ring, 64);
    running.queue.pop(new Chain(ENTRIES));
    running.queue.addUsed(0, 0);
    running.queue.enableKicks();
    // No interrupts by the flag: the event index, or an empty queue, asks for one all the same.
    ring.setFlags(1);
    ring.setUsedEvent(5);
    queues.signal(running);
    expect([ring.availableEvent, readDescriptor(call, new Uint8Array(8)) > 0 ? 1 : 0]).toEqual(
      expected,
    );
  });

  test("may have indirect descriptors if that is negotiated, and only then", () => {
    for (const features of [0n, Feature.IndirectDescriptors]) {
      const { guest, queues } = deviceQueues();
      const [ring] = guest.rings;
      const { addresses } = ring;
      const setup = { entries: ENTRIES, addresses, base: 0, kick: event(), call: undefined };
      queues.perform({ kind: "start", ring: Rx, setup: { ...setup, err: undefined } }, features);
      ring.describe(0, { address: guest.data, length: 16, flags: 4 });
      ring.describe(0, { address: guest.data, length: 1 }, guest.data);
      ring.offer(0);
      const pop = () => queues.enabled(Rx)?.queue.pop(new Chain(ENTRIES));
      if (features === 0n) expect(pop).toThrow("not negotiated");
      else expect(pop()).toBe(true);
    }
  });
});

describe("a call", () => {
  test("interrupts the guest once for the chains since the last one, and is counted", () => {
    const { queues, statistics, start, consume } = deviceQueues();
    const call = event();
    start(Rx, { call });
    const running = queues.enabled(Rx);
    if (running === undefined) throw new Error("the queue does not run");
    queues.signal(running);
    expect([clearEvent(call), statistics.signals]).toEqual([true, 0]);
    consume(Rx, 2);
    queues.signal(running);
    queues.signal(running);
    const count = new BigUint64Array(1);
    expect(readDescriptor(call, new Uint8Array(count.buffer))).toBe(8);
    expect([count[0], statistics.signals]).toEqual([1n, 1]);
  });

  test("goes to the descriptor that the VMM has set last; without one there is none", () => {
    const { queues, statistics, start, consume } = deviceQueues();
    const [first, second] = [event(), event()];
    start(Rx, { call: first });
    const running = queues.enabled(Rx);
    if (running === undefined) throw new Error("the queue does not run");
    queues.perform({ kind: "call", ring: Rx, fd: second }, 0n);
    queues.perform({ kind: "call", ring: Tx, fd: first }, 0n);
    consume(Rx, 1);
    queues.signal(running);
    const read = (fd: number) => readDescriptor(fd, new Uint8Array(8));
    expect([read(first) > 0, read(second)]).toEqual([false, 8]);
    queues.perform({ kind: "call", ring: Rx, fd: undefined }, 0n);
    consume(Rx, 1);
    queues.signal(running);
    expect([read(second) > 0, statistics.signals]).toEqual([false, 1]);
  });
});

describe("a kick", () => {
  test("is reported edge-triggered by an eventfd, and counted", () => {
    const { statistics, watched, start } = deviceQueues();
    const kick = start(Rx);
    expect(watched.get(kick)?.events).toBe(EPOLLIN | EPOLLET);
    watched.get(kick)?.handler(EPOLLIN);
    expect([statistics.kicks, watched.has(kick)]).toEqual([1, true]);
  });

  test("comes from the descriptor that the VMM has set last", () => {
    const { queues, watched, start } = deviceQueues();
    const [first, second, third] = [start(Rx), event(), event()];
    queues.perform({ kind: "kick", ring: Rx, fd: second }, 0n);
    queues.perform({ kind: "kick", ring: Tx, fd: third }, 0n);
    expect([first, second, third].map((fd) => watched.has(fd))).toEqual([false, true, false]);
    queues.perform({ kind: "stop", ring: Rx }, 0n);
    expect(watched.size).toBe(0);
  });

  test("by a pipe is read, and the pipe is watched until it is closed", () => {
    const { queues, statistics, watched, start } = deviceQueues();
    const pipe = openPipe();
    start(Rx);
    queues.perform({ kind: "kick", ring: Rx, fd: pipe.read }, 0n);
    const { events, handler } = watched.get(pipe.read) ?? {};
    expect(events).toBe(EPOLLIN);
    signalEvent(pipe.write);
    handler?.(EPOLLIN);
    expect(readDescriptor(pipe.read, new Uint8Array(8))).toBeLessThan(0);
    expect([statistics.kicks, watched.has(pipe.read)]).toEqual([1, true]);
    closeDescriptor(pipe.write);
    handler?.(EPOLLIN);
    expect([statistics.kicks, watched.has(pipe.read)]).toEqual([2, false]);
    closeDescriptor(pipe.read);
  });
});
