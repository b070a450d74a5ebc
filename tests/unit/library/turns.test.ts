import { describe, expect, test } from "bun:test";
import { Turns } from "../../../src/library/turns.ts";

function makeTurns() {
  const turns = new Turns();
  const begun: string[] = [];
  return { turns, begun, next: (name: string) => turns.next(() => begun.push(name)) };
}

describe("Turns", () => {
  test("the first begins at once, each other when the one before has ended", () => {
    const { turns, begun, next } = makeTurns();
    for (const name of ["a", "b", "c"]) next(name);
    expect(begun).toEqual(["a"]);
    turns.end();
    expect(begun).toEqual(["a", "b"]);
    turns.end();
    turns.end();
    expect(begun).toEqual(["a", "b", "c"]);
    next("d");
    expect(begun).toEqual(["a", "b", "c", "d"]);
  });

  test("one that was cancelled is skipped", () => {
    const { turns, begun, next } = makeTurns();
    next("a");
    const second = next("b");
    next("c");
    second[Symbol.dispose]();
    turns.end();
    expect(begun).toEqual(["a", "c"]);
  });

  test("cancelling after the turn has begun does not end it", () => {
    const { turns, begun, next } = makeTurns();
    next("a")[Symbol.dispose]();
    next("b");
    expect(begun).toEqual(["a"]);
    turns.end();
    expect(begun).toEqual(["a", "b"]);
  });
});
