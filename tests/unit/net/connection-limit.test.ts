import { describe, expect, test } from "bun:test";
import { ConnectionLimit } from "../../../src/net/connection-limit.ts";

function limitOf(most: number) {
  const closed: string[] = [];
  const limit = new ConnectionLimit<string>(most, (name) => void closed.push(name));
  return { limit, closed };
}

const isPending = async (promise: Promise<void> | undefined) => {
  const result = await Promise.race([promise?.then(() => "done"), Bun.sleep(0)]);
  return result === undefined;
};

describe("a new connection", () => {
  test("replaces the one that has waited longest", () => {
    const { limit, closed } = limitOf(2);
    for (const name of ["a", "b", "c"]) limit.wait(name);
    expect([closed, limit.count]).toEqual([["a"], 2]);
    // The end of one that was replaced changes nothing.
    limit.remove("a");
    expect(limit.count).toBe(2);
    limit.work("b");
    limit.wait("b");
    limit.wait("d");
    expect([closed, limit.count]).toEqual([["a", "c"], 2]);
  });

  test("never replaces one that the server works for", async () => {
    const { limit, closed } = limitOf(2);
    for (const name of ["a", "b"]) {
      expect(limit.place()).toBeUndefined();
      limit.wait(name);
      expect(limit.place()).toBeUndefined();
      limit.work(name);
    }
    const place = limit.place();
    expect(limit.place()).toBe(place as Promise<void>);
    expect(await isPending(place)).toBe(true);
    limit.wait("a");
    await place;
    limit.work("a");
    const other = limit.place();
    expect(await isPending(other)).toBe(true);
    limit.remove("b");
    await other;
    expect([closed, limit.count]).toEqual([[], 1]);
  });

  test("has a place while there are fewer", () => {
    const { limit } = limitOf(2);
    limit.wait("a");
    limit.work("a");
    expect(limit.place()).toBeUndefined();
    limit.remove("a");
    expect([limit.place(), limit.count]).toEqual([undefined, 0]);
  });
});

test("work for a connection that was replaced is not counted", () => {
  const { limit } = limitOf(1);
  limit.wait("a");
  limit.wait("b");
  limit.work("a");
  expect(limit.count).toBe(1);
});

test("all connections are closed, whatever they do", () => {
  const { limit, closed } = limitOf(3);
  for (const name of ["a", "b"]) limit.wait(name);
  limit.work("b");
  limit.closeAll();
  expect(closed).toEqual(["a", "b"]);
});
