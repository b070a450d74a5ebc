import { describe, expect, test } from "bun:test";
import { DirtyPaths } from "../../../../src/commands/files/dirty-paths.ts";
import type { WatchEvent } from "../../../../src/vfs/watch/file-change.ts";

function change(path: string, from?: string): WatchEvent {
  return {
    kind: from === undefined ? "modify" : "rename",
    path: Buffer.from(path),
    from: from === undefined ? undefined : Buffer.from(from),
    isDirectory: false,
  };
}

describe("changed paths", () => {
  test("are due when nothing has changed for an interval", () => {
    const dirty = new DirtyPaths(100);
    expect(dirty.dueMs(0)).toBeUndefined();
    dirty.add(change("a"), 1000);
    expect([1000, 1040, 1100, 1200].map((now) => dirty.dueMs(now))).toEqual([100, 60, 0, 0]);
    dirty.add(change("b"), 1090);
    expect(dirty.dueMs(1100)).toBe(90);
  });

  test("are due after ten intervals even if they do not pause", () => {
    const dirty = new DirtyPaths(100);
    for (let now = 0; now <= 990; now += 30) dirty.add(change("a"), now);
    expect(dirty.dueMs(990)).toBe(10);
    expect(dirty.dueMs(1000)).toBe(0);
    dirty.take();
    expect(dirty.dueMs(1000)).toBeUndefined();
    dirty.add(change("a"), 2000);
    expect(dirty.dueMs(2000)).toBe(100);
  });

  test("are both names of a rename, and none that is below another", () => {
    const dirty = new DirtyPaths(100);
    dirty.add(change("d/a", "d/b"), 0);
    dirty.add(change("e"), 0);
    dirty.add(change("e/f"), 0);
    expect(dirty.take()).toEqual(["d/a", "d/b", "e"]);
    expect(dirty.take()).toEqual([]);
  });

  test("are all after an overflow, a change of the root, or too many", () => {
    const dirty = new DirtyPaths(100);
    dirty.add({ kind: "overflow" }, 0);
    expect(dirty.take()).toBeUndefined();
    dirty.add(change(""), 0);
    expect(dirty.take()).toBeUndefined();
    for (let index = 0; index < 1000; index++) dirty.add(change(`${index}`), 0);
    expect(dirty.take()?.length).toBe(1000);
    for (let index = 0; index < 1001; index++) dirty.add(change(`${index}`), 0);
    expect(dirty.take()).toBeUndefined();
  });

  test("need not be UTF-8", () => {
    const dirty = new DirtyPaths(100);
    dirty.add({ ...change("a"), path: Buffer.of(0xff) } as WatchEvent, 0);
    expect(dirty.take()).toEqual(["\xff"]);
  });
});
