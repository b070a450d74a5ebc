import { describe, expect, test } from "bun:test";
import { IN_CREATE, IN_MOVED_FROM, IN_MOVED_TO } from "../../../../src/ffi/inotify.ts";
import type { InotifyEvent } from "../../../../src/vfs/watch/inotify-events.ts";
import { MovePairs } from "../../../../src/vfs/watch/move-pairs.ts";

function event(mask: number, cookie: number, name: string): InotifyEvent {
  return { watch: 1, mask, cookie, name: Buffer.from(name) };
}

/** The whole queue as words: `name` or `from>to`. */
function drain(pairs: MovePairs): string[] {
  const words: string[] = [];
  for (;;) {
    const next = pairs.shift();
    if (next === undefined) return words;
    const text = ({ name }: InotifyEvent) => String(name);
    words.push(next.kind === "move" ? `${text(next.from)}>${text(next.to)}` : text(next.event));
  }
}

describe("the two halves of a rename", () => {
  test("become one event, also with others between them", () => {
    const pairs = new MovePairs();
    pairs.push([
      event(IN_CREATE, 0, "a"),
      event(IN_MOVED_FROM, 7, "b"),
      event(IN_MOVED_FROM, 8, "d"),
      event(IN_CREATE, 0, "x"),
      event(IN_MOVED_TO, 8, "e"),
      event(IN_MOVED_TO, 7, "c"),
      event(IN_CREATE, 0, "y"),
    ]);
    expect(pairs.isHalf).toBe(false);
    expect(drain(pairs)).toEqual(["a", "b>c", "d>e", "x", "y"]);
    expect(pairs.hasEvents).toBe(false);
  });

  test("may come in different reads", () => {
    const pairs = new MovePairs();
    pairs.push([event(IN_MOVED_FROM, 7, "a")]);
    expect([pairs.hasEvents, pairs.isHalf]).toEqual([true, true]);
    pairs.push([event(IN_CREATE, 0, "b"), event(IN_MOVED_TO, 7, "c")]);
    expect(pairs.isHalf).toBe(false);
    expect(drain(pairs)).toEqual(["a>c", "b"]);
  });

  test("stay single without the other half", () => {
    const pairs = new MovePairs();
    pairs.push([
      event(IN_MOVED_TO, 1, "in"),
      event(IN_MOVED_FROM, 2, "out"),
      event(IN_MOVED_TO, 3, "other"),
    ]);
    expect(pairs.isHalf).toBe(false);
    expect(pairs.shift()).toEqual({ kind: "single", event: event(IN_MOVED_TO, 1, "in") });
    expect(pairs.isHalf).toBe(true);
    expect(drain(pairs)).toEqual(["out", "other"]);
    expect([pairs.hasEvents, pairs.isHalf]).toEqual([false, false]);
  });

  test("are joined again with a cookie that was used before", () => {
    const pairs = new MovePairs();
    for (const name of ["a", "b"]) {
      pairs.push([event(IN_MOVED_FROM, 5, name), event(IN_MOVED_TO, 5, `${name}2`)]);
      expect(drain(pairs)).toEqual([`${name}>${name}2`]);
    }
  });
});
