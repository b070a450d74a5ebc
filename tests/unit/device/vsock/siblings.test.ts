/** Connections between two VMs of one process. */
import { describe, expect, test } from "bun:test";
import { PendingResets } from "../../../../src/device/vsock/pending-resets.ts";
import type { RxBuffers } from "../../../../src/device/vsock/rx-buffers.ts";
import { type SiblingDevice, Siblings } from "../../../../src/device/vsock/siblings.ts";
import type { TxPacket } from "../../../../src/device/vsock/tx-packet.ts";
import { Op, PacketHeader, PacketType } from "../../../../src/protocols/virtio-vsock/packet.ts";

/** A device of a VM, which records what its guest is sent. */
class FakeDevice implements SiblingDevice {
  readonly siblings = new Siblings(this);
  readonly resets = new PendingResets();
  /** Operations of the packets in its RX buffers. */
  readonly received: number[] = [];
  isReady = true;
  offersBuffers = true;
  wakeUps = 0;

  constructor(
    readonly guestCid: number,
    readonly maxConnections = 10,
  ) {}

  readonly nextRxBuffers = (): RxBuffers | undefined => {
    if (!this.offersBuffers) return undefined;
    const buffers = {
      bytes: 2 ** 20,
      copyFrom: () => {},
      put: ({ op }: PacketHeader) => void this.received.push(op),
    };
    return buffers as unknown as RxBuffers;
  };

  wake(): void {
    this.wakeUps++;
  }

  /** Sends a packet to another VM. */
  send(op: number, dstCid: number, srcPort: number, dstPort: number, len = 0) {
    const fields = { srcCid: this.guestCid, dstCid, srcPort, dstPort, op, len };
    const header = Object.assign(new PacketHeader(), { ...fields, type: PacketType.Stream });
    const packet = { header, bytes: len, copyTo: () => {} };
    return this.siblings.forward(packet as unknown as TxPacket);
  }

  /** Source CID and ports of the RSTs that wait for its guest; they are removed. */
  takeResets(): number[][] {
    const found: number[][] = [];
    const header = new PacketHeader();
    while (this.resets.count > 0) {
      this.resets.shift(header, this.guestCid);
      found.push([header.srcCid, header.srcPort, header.dstPort]);
    }
    return found;
  }
}

/** Two VMs, with the CIDs 3 and 4, that reach each other. */
function pair(limits: [number?, number?] = []) {
  const [a, b] = [new FakeDevice(3, limits[0]), new FakeDevice(4, limits[1])];
  a.siblings.add(b);
  b.siblings.add(a);
  return { a, b, counts: () => [a.siblings.count, b.siblings.count] };
}

describe("a REQUEST to a sibling", () => {
  test("begins a connection on both sides, whose packets are passed on both ways", () => {
    const { a, b, counts } = pair();
    expect([a.send(Op.Request, 4, 1, 2), b.received, b.wakeUps]).toEqual(["done", [Op.Request], 1]);
    expect(counts()).toEqual([1, 1]);
    expect(b.send(Op.Response, 3, 2, 1)).toBe("done");
    expect(a.send(Op.Rw, 4, 1, 2, 10)).toBe("done");
    expect([a.received, b.received]).toEqual([[Op.Response], [Op.Request, Op.Rw]]);
    expect([a.wakeUps, b.wakeUps, a.resets.count, b.resets.count]).toEqual([1, 2, 0, 0]);
  });

  const refused: [string, ReturnType<typeof pair>, (all: ReturnType<typeof pair>) => void][] = [
    ["whose driver is not ready", pair(), ({ b }) => (b.isReady = false)],
    ["that has as many connections as it may", pair([10, 1]), () => {}],
    ["beyond the sender's own limit", pair([1, 10]), () => {}],
  ];
  test.each(refused)("%s is refused with an RST", (_, all, change) => {
    const { a, b, counts } = all;
    a.send(Op.Request, 4, 1, 2);
    change(all);
    expect(a.send(Op.Request, 4, 5, 6)).toBe("done");
    expect([a.takeResets(), b.received, counts()]).toEqual([[[4, 6, 5]], [Op.Request], [1, 1]]);
  });
});

describe("a packet without a connection", () => {
  test("is answered with an RST, unless it is one", () => {
    const { a, b } = pair();
    a.send(Op.Request, 4, 1, 2);
    for (const [port, peerPort] of [
      [1, 3],
      [3, 2],
      [2, 1],
    ] as const) {
      expect(a.send(Op.Rw, 4, port, peerPort)).toBe("done");
      expect(a.takeResets()).toEqual([[4, peerPort, port]]);
      expect(a.send(Op.Rst, 4, port, peerPort)).toBe("done");
    }
    expect([a.resets.count, b.received]).toEqual([0, [Op.Request]]);
  });

  test("to a VM that is not a sibling is answered as well", () => {
    const { a, counts } = pair();
    for (const op of [Op.Request, Op.Rw, Op.Rst]) expect(a.send(op, 5, 1, 2)).toBe("done");
    expect([a.takeResets(), counts()]).toEqual([
      [
        [5, 2, 1],
        [5, 2, 1],
      ],
      [0, 0],
    ]);
  });
});

test("an RST is passed on and ends the connection on both sides", () => {
  const { a, b, counts } = pair();
  a.send(Op.Request, 4, 1, 2);
  a.send(Op.Request, 4, 5, 6);
  b.send(Op.Rst, 3, 2, 1);
  expect([a.received, a.wakeUps, counts()]).toEqual([[Op.Rst], 1, [1, 1]]);
  a.send(Op.Rw, 4, 1, 2);
  expect([a.takeResets(), b.takeResets()]).toEqual([[[4, 2, 1]], []]);
});

describe("a sibling that offers no buffers", () => {
  function withFullInbox() {
    const all = pair();
    const { a, b } = all;
    a.send(Op.Request, 4, 1, 2);
    b.offersBuffers = false;
    expect(a.send(Op.Rw, 4, 1, 2, 4 * 2 ** 20)).toBe("done");
    return all;
  }

  test("makes the sender wait once its inbox is full", () => {
    const { a, b, counts } = withFullInbox();
    const { wakeUps } = b;
    expect(a.send(Op.Rw, 4, 1, 2, 1)).toBe("retry");
    expect([a.resets.count, b.resets.count, counts()]).toEqual([0, 0, [1, 1]]);
    expect(b.wakeUps).toBe(wakeUps);
  });

  test("loses the connection, with an RST to both guests, once it is stuck", () => {
    const { a, b, counts } = withFullInbox();
    Object.defineProperty(b.siblings.inbox, "isStuck", { value: true });
    expect(a.send(Op.Rw, 4, 1, 2, 1)).toBe("done");
    expect(counts()).toEqual([0, 0]);
    expect([a.takeResets(), b.takeResets()]).toEqual([[[4, 2, 1]], [[3, 1, 2]]]);
  });
});

test("a VM that disconnects ends its connections, and their peers get RSTs", () => {
  const { a, b, counts } = pair();
  const c = new FakeDevice(5);
  for (const [one, other] of [
    [a, c],
    [c, a],
  ] as const) {
    one.siblings.add(other);
  }
  a.send(Op.Request, 4, 1, 2);
  b.send(Op.Request, 3, 7, 8);
  c.send(Op.Request, 3, 7, 8);
  a.offersBuffers = false;
  b.send(Op.Rw, 3, 7, 8);
  const { wakeUps } = b;
  a.siblings.clear();
  expect([counts(), c.siblings.count, a.siblings.inbox.hasPending]).toEqual([[0, 0], 0, false]);
  expect(b.takeResets()).toEqual([
    [3, 1, 2],
    [3, 8, 7],
  ]);
  expect([c.takeResets(), a.resets.count]).toEqual([[[3, 8, 7]], 0]);
  expect([b.wakeUps - wakeUps, c.wakeUps]).toEqual([2, 1]);
});
