import { describe, expect, test } from "bun:test";
import {
  agentConnectionRows,
  nextOrder,
  rateOf,
  sessionRows,
  SORT_ORDERS,
  vmConnectionRows,
  vmRows,
} from "../../../../src/commands/diagnose/top-samples.ts";
import {
  agentConnection,
  agentSample,
  deviceSample,
  session,
  vm,
  vmConnection,
} from "../../../support/top-samples.ts";

test.each([
  [0, 500, 1000, 500],
  [100, 600, 2000, 250],
  [100, 100, 2000, 0],
  [undefined, 600, 2000, undefined],
  [700, 600, 2000, undefined],
  [0, 600, 0, undefined],
])("the rate from %p to %p in %d ms is %p", (before, after, elapsedMs, rate) => {
  expect(rateOf(before, after, elapsedMs)).toBe(rate);
});

test("the orders follow each other in a circle", () => {
  expect(SORT_ORDERS.map(nextOrder)).toEqual(["age", "id", "rate"]);
});

describe("the rows of VMs", () => {
  const before = deviceSample(1000, vm(4, 0, 0), vm(5, 500, 100), vm(6, 0, 9));
  const after = deviceSample(3000, vm(4, 50, 10), vm(5, 900, 700), vm(6, 0, 5), vm(7, 3, 3));
  const cids = (order: (typeof SORT_ORDERS)[number]) =>
    vmRows(after, before, order).map((row) => row.vm.guest_cid);

  test("have rates in bytes per second, none for new and restarted VMs", () => {
    const rates = vmRows(after, before, "id").map((row) => [row.toGuestRate, row.fromGuestRate]);
    expect(rates).toEqual([
      [25, 5],
      [200, 300],
      [0, undefined],
      [undefined, undefined],
    ]);
    expect(vmRows(after, undefined, "id")[0]?.toGuestRate).toBeUndefined();
  });

  test("are ordered by both rates, by age, or by CID", () => {
    expect(cids("rate")).toEqual([5, 4, 6, 7]);
    expect(cids("age")).toEqual([7, 6, 5, 4]);
    expect(cids("id")).toEqual([4, 5, 6, 7]);
  });
});

describe("the rows of connections of VMs", () => {
  const fromGuest = { begun_by: "guest" } as const;
  const before = deviceSample(
    0,
    vm(4, 0, 0, [vmConnection({ bytes_to_guest: 10 }), vmConnection(fromGuest)]),
    vm(5, 0, 0, [vmConnection({ bytes_to_guest: 1 })]),
  );
  const after = deviceSample(
    1000,
    vm(4, 0, 0, [
      vmConnection({ bytes_to_guest: 30, age_seconds: 1 }),
      vmConnection({ ...fromGuest, bytes_from_guest: 70, age_seconds: 3 }),
    ]),
    vm(5, 0, 0, [
      vmConnection({ bytes_to_guest: 51, age_seconds: 2 }),
      vmConnection({ host_port: 7, age_seconds: 4 }),
      vmConnection({ host_port: 7, guest_port: 6, age_seconds: 5 }),
    ]),
  );
  const rows = (order: (typeof SORT_ORDERS)[number]) =>
    vmConnectionRows(after, before, order).map(({ guestCid, connection, ...rates }) => [
      guestCid,
      connection.age_seconds,
      rates.toGuestRate,
      rates.fromGuestRate,
    ]);

  test("have the rates of the same connection of the same VM", () => {
    expect(rows("age")).toEqual([
      [4, 1, 20, 0],
      [5, 2, 50, 0],
      [4, 3, 0, 70],
      [5, 4, undefined, undefined],
      [5, 5, undefined, undefined],
    ]);
  });

  test("are ordered by rate, and by CID and ports", () => {
    expect(rows("rate").map(([, age]) => age)).toEqual([3, 2, 1, 5, 4]);
    expect(rows("id").map(([, age]) => age)).toEqual([1, 3, 5, 4, 2]);
  });

  test("name the VM's socket", () => {
    expect(vmConnectionRows(after, before, "id")[0]?.socket).toBe("/run/vm4.socket");
  });
});

describe("the rows of an agent", () => {
  const before = agentSample(500, {
    connections: [agentConnection(1, { sentBytes: 10 }), agentConnection(2)],
    sessions: [session("a", { outputBytes: 100 }), session("b")],
  });
  const after = agentSample(1000, {
    connections: [
      agentConnection(1, { sentBytes: 20, receivedBytes: 5 }),
      agentConnection(2, { receivedBytes: 100 }),
      agentConnection(3),
    ],
    sessions: [
      session("a", { outputBytes: 150, elapsedMs: 9 }),
      session("b", { outputBytes: 500, elapsedMs: 8 }),
      session("c", { elapsedMs: 7 }),
    ],
  });

  test("are its connections with both rates", () => {
    const rows = agentConnectionRows(after, before, "rate");
    expect(rows.map((row) => [row.connection.id, row.receivedRate, row.sentRate])).toEqual([
      [2, 200, 0],
      [1, 10, 20],
      [3, undefined, undefined],
    ]);
    const ids = (order: "age" | "id") =>
      agentConnectionRows(after, before, order).map(({ connection }) => connection.id);
    expect([ids("age"), ids("id")]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
    expect(agentConnectionRows(agentSample(1, { connections: undefined }), before, "id")).toEqual(
      [],
    );
  });

  test("are its sessions with the rate of their output", () => {
    const rows = sessionRows(after, before, "rate");
    expect(rows.map((row) => [row.session.id, row.outputRate])).toEqual([
      ["b", 1000],
      ["a", 100],
      ["c", undefined],
    ]);
    const ids = (order: "age" | "id") =>
      sessionRows(after, undefined, order).map((row) => row.session.id);
    expect([ids("age"), ids("id")]).toEqual([
      ["c", "b", "a"],
      ["a", "b", "c"],
    ]);
  });
});
