import { expect, test } from "bun:test";
import type { ConnectionSockets } from "../../../../src/device/vsock/connection-sockets.ts";
import { DrainingSockets } from "../../../../src/device/vsock/draining-sockets.ts";
import type { HostConnection } from "../../../../src/device/vsock/host-connection.ts";

/** A connection with bytes for a slow reader, and what is done with it. */
class SlowConnection {
  isDraining = false;
  isConnected = true;
  compacted = 0;
  /** Bytes that the socket accepts at the next flush. */
  accepts = 0;

  constructor(
    readonly name: string,
    public waiting: number,
  ) {}

  get waitingBytes(): number {
    return this.waiting;
  }

  drain(): void {
    this.isDraining = true;
  }

  flush(): void {
    this.waiting -= this.accepts;
  }

  compact(): void {
    this.compacted++;
  }
}

function drainingSockets(maxConnections = 2) {
  const closed: string[] = [];
  const watched: string[] = [];
  let lost = 0;
  const nameOf = (connection: HostConnection) => (connection as unknown as SlowConnection).name;
  const sockets = {
    close: (connection: HostConnection) => void closed.push(nameOf(connection)),
    setWatchesWritable: (connection: HostConnection) => void watched.push(nameOf(connection)),
  };
  const draining = new DrainingSockets({
    sockets: sockets as unknown as ConnectionSockets,
    maxConnections,
    onLost: (bytes) => (lost += bytes),
  });
  const release = (connection: SlowConnection) =>
    draining.release(connection as unknown as HostConnection);
  const flush = (connection: SlowConnection, accepts: number) => {
    connection.accepts = accepts;
    draining.onSocket(connection as unknown as HostConnection);
  };
  return { draining, release, flush, closed, watched, lost: () => lost };
}

test("a socket is closed at once without bytes, else after the last one", () => {
  const { draining, release, flush, closed, watched, lost } = drainingSockets();
  release(new SlowConnection("empty", 0));
  expect([closed, draining.count]).toEqual([["empty"], 0]);
  const slow = new SlowConnection("slow", 5);
  release(slow);
  release(slow);
  expect([draining.count, slow.isDraining, watched]).toEqual([1, true, ["slow"]]);
  flush(slow, 4);
  expect([draining.count, closed]).toEqual([1, ["empty"]]);
  flush(slow, 1);
  expect([draining.count, closed, lost()]).toEqual([0, ["empty", "slow"], 0]);
});

test("of more sockets than the limit the oldest is closed, and its bytes are lost", () => {
  const { draining, release, closed, lost } = drainingSockets(2);
  for (const [index, name] of ["a", "b", "c"].entries()) {
    release(new SlowConnection(name, 10 ** index));
  }
  expect([draining.count, closed, lost()]).toEqual([2, ["a"], 1]);
  draining.dropAll();
  expect([draining.count, closed, lost()]).toEqual([0, ["a", "b", "c"], 111]);
});

test("memory of all of them is compacted", () => {
  const { draining, release } = drainingSockets();
  const both = [new SlowConnection("a", 1), new SlowConnection("b", 1)];
  for (const connection of both) release(connection);
  draining.compact();
  expect(both.map(({ compacted }) => compacted)).toEqual([1, 1]);
});
