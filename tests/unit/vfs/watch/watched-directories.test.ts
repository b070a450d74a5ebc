import { describe, expect, test } from "bun:test";
import {
  isWithin,
  keyOf,
  WatchedDirectories,
  type WatchedDirectory,
} from "../../../../src/vfs/watch/watched-directories.ts";

const bytes = (text: string) => Buffer.from(text);

/** A tree with `a`, `a/b`, `a/b/c` and `d` under the watches 2 to 5; the root has 1. */
function exampleTree() {
  const tree = new WatchedDirectories(1);
  const put = (watch: number, parent: WatchedDirectory, name: string) => {
    const added = tree.add(watch, bytes(name));
    tree.attach(added, { parent, name: bytes(name) });
    return added;
  };
  const a = put(2, tree.root, "a");
  const b = put(3, a, "b");
  const c = put(4, b, "c");
  const d = put(5, tree.root, "d");
  return { tree, a, b, c, d };
}

describe("watched directories", () => {
  test("have paths from the root, whatever bytes their names have", () => {
    const { tree, c } = exampleTree();
    expect(String(tree.path({ parent: c, name: bytes("x\ny") }))).toBe("a/b/c/x\ny");
    expect(tree.path({ parent: tree.root, name: Uint8Array.of(0xff) })).toEqual(Buffer.of(0xff));
    expect(tree.names(c).map(String)).toEqual(["a", "b", "c"]);
    expect(tree.names(tree.root)).toEqual([]);
    expect(keyOf(Uint8Array.of(0xc3, 0xff))).toBe("\xc3\xff");
  });

  test("are found by watch and by place", () => {
    const { tree, a, b } = exampleTree();
    expect(tree.size).toBe(5);
    expect(tree.find(3)).toBe(b);
    expect(tree.find(6)).toBeUndefined();
    expect(tree.at({ parent: a, name: bytes("b") })).toBe(b);
    expect(tree.at({ parent: tree.root, name: bytes("b") })).toBeUndefined();
    expect([...tree.all()].map(({ watch }) => watch)).toEqual([1, 2, 3, 4, 5]);
  });

  test("move with everything below them, and displace what had the place", () => {
    const { tree, a, b, c, d } = exampleTree();
    expect(tree.attach(b, { parent: tree.root, name: bytes("d") })).toBe(d);
    expect(String(tree.path({ parent: c, name: bytes("x") }))).toBe("d/c/x");
    expect(tree.at({ parent: a, name: bytes("b") })).toBeUndefined();
    expect([b, c, d].map((one) => tree.isAttached(one))).toEqual([true, true, false]);
    expect(tree.find(5)).toBe(d);
    expect(tree.attach(b, { parent: tree.root, name: bytes("d") })).toBeUndefined();
    expect(tree.attach(d, { parent: a, name: bytes("d") })).toBeUndefined();
    expect(tree.isAttached(d)).toBe(true);
  });

  test("are removed with everything below them", () => {
    const { tree, a } = exampleTree();
    expect(tree.remove(a)).toEqual([2, 3, 4]);
    expect(tree.size).toBe(2);
    expect(tree.find(4)).toBeUndefined();
    expect(tree.at({ parent: tree.root, name: bytes("a") })).toBeUndefined();
  });

  test("know what they are within", () => {
    const { tree, a, c, d } = exampleTree();
    expect([isWithin(c, a), isWithin(c, tree.root), isWithin(a, a)]).toEqual([true, true, true]);
    expect([isWithin(a, c), isWithin(c, d)]).toEqual([false, false]);
  });
});
