import { expect, test } from "bun:test";
import { ConnectionTable } from "../../../../src/device/vsock/connection-table.ts";
import { FIRST_ASSIGNED_PORT } from "../../../../src/protocols/hybrid/connect-line.ts";
import { unconnected } from "../../../support/vsock-connection.ts";

test("a connection is found by both ports, and only by both", () => {
  const table = new ConnectionTable();
  const [first, second, other] = [unconnected(7, 1), unconnected(7, 2), unconnected(8, 1)];
  for (const connection of [first, second, other]) table.add(connection);
  expect(table.count).toBe(3);
  expect([...table]).toEqual([first, second, other]);
  expect(table.find(7, 1)).toBe(first);
  expect(table.find(7, 2)).toBe(second);
  expect(table.find(8, 1)).toBe(other);
  expect(table.find(8, 2)).toBeUndefined();
  expect(table.find(1, 7)).toBeUndefined();
});

test("a removed connection leaves others with its port, and is removed once", () => {
  const table = new ConnectionTable();
  const [first, second] = [unconnected(7, 1), unconnected(7, 2)];
  table.add(first);
  table.add(second);
  expect(table.remove(first)).toBe(true);
  expect(table.remove(first)).toBe(false);
  expect([table.count, table.find(7, 1), table.find(7, 2)]).toEqual([1, undefined, second]);
});

test("a connection that has replaced another one with its ports is not removed with it", () => {
  const table = new ConnectionTable();
  const [old, present] = [unconnected(7, 1), unconnected(7, 1)];
  table.add(old);
  table.remove(old);
  table.add(present);
  expect(table.remove(old)).toBe(false);
  expect([table.count, table.find(7, 1)]).toEqual([1, present]);
});

test("assigned ports ascend, and skip those in use", () => {
  const table = new ConnectionTable();
  table.add(unconnected(FIRST_ASSIGNED_PORT + 1));
  expect(table.assignHostPort()).toBe(FIRST_ASSIGNED_PORT);
  expect(table.assignHostPort()).toBe(FIRST_ASSIGNED_PORT + 2);
});

test("a port is assigned again once its last connection is removed", () => {
  const table = new ConnectionTable();
  const last = unconnected(FIRST_ASSIGNED_PORT);
  table.add(last);
  table.remove(last);
  expect(table.assignHostPort()).toBe(FIRST_ASSIGNED_PORT);
});

test("an emptied table has no connections", () => {
  const table = new ConnectionTable();
  table.add(unconnected(7));
  table.clear();
  expect([table.count, [...table], table.find(7, 1)]).toEqual([0, [], undefined]);
});
