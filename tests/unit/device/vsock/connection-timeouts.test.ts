import { expect, test } from "bun:test";
import {
  ConnectionTimeouts,
  type TimeoutKind,
} from "../../../../src/device/vsock/connection-timeouts.ts";
import type { HostConnection } from "../../../../src/device/vsock/host-connection.ts";
import { unconnected } from "../../../support/vsock-connection.ts";

/** Timeouts whose expired connections are removed, as the muxer does. */
function timeouts() {
  const expired: [HostConnection, TimeoutKind][] = [];
  const all: ConnectionTimeouts = new ConnectionTimeouts((connection, kind) => {
    expired.push([connection, kind]);
    all.remove(connection);
  });
  return { all, expired };
}

test("a connect expires at its deadline, and later ones stay", () => {
  const { all, expired } = timeouts();
  const [first, second] = [unconnected(1), unconnected(2)];
  all.startConnect(first, 100);
  all.startConnect(second, 200);
  all.onTime(99);
  expect(expired).toEqual([]);
  all.onTime(100);
  expect(expired).toEqual([[first, "connect"]]);
  all.onTime(200);
  expect(expired).toEqual([
    [first, "connect"],
    [second, "connect"],
  ]);
});

test("a connect that the guest has answered does not expire", () => {
  const { all, expired } = timeouts();
  const connection = unconnected(1);
  all.startConnect(connection, 100);
  all.endConnect(connection);
  all.onTime(1000);
  expect(expired).toEqual([]);
});

test("a close expires after two seconds", () => {
  const { all, expired } = timeouts();
  const [connection, later] = [unconnected(1), unconnected(2)];
  const begun = performance.now();
  all.startClose(connection);
  const { deadline = 0 } = connection;
  expect(deadline).toBeGreaterThanOrEqual(begun + 2000);
  expect(deadline).toBeLessThanOrEqual(performance.now() + 2000);
  // The second time changes nothing.
  all.startClose(connection);
  expect(connection.deadline).toBe(deadline);
  all.startClose(later);
  later.deadline = deadline + 1;
  all.onTime(deadline - 0.001);
  expect(expired).toEqual([]);
  all.onTime(deadline);
  expect(expired).toEqual([[connection, "close"]]);
  all.onTime(deadline + 1);
  expect(expired).toHaveLength(2);
});

test("the close of a connection with queued bytes waits two seconds more", () => {
  const { all, expired } = timeouts();
  const connection = unconnected(1);
  let waiting = 1;
  Object.defineProperty(connection, "waiting", { get: () => waiting });
  all.startClose(connection);
  all.onTime(1_000_000);
  expect([expired, connection.deadline]).toEqual([[], 1_002_000]);
  waiting = 0;
  all.onTime(1_001_999);
  expect(expired).toEqual([]);
  all.onTime(1_002_000);
  expect(expired).toEqual([[connection, "close"]]);
});

test("removed connections do not expire, whatever they wait for", () => {
  const { all, expired } = timeouts();
  const [first, second, third, fourth] = [1, 2, 3, 4].map((port) => unconnected(port));
  if (!first || !second || !third || !fourth) throw new Error("four are needed");
  all.startConnect(first, 1);
  all.startClose(second);
  all.remove(first);
  all.remove(second);
  all.startConnect(third, 1);
  all.startClose(fourth);
  all.clear();
  all.onTime(1e12);
  expect(expired).toEqual([]);
});
