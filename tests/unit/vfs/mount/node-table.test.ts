import { describe, expect, test } from "bun:test";
import { type Node, NodeTable } from "../../../../src/vfs/mount/node-table.ts";
import type { RemoteStatus } from "../../../../src/vfs/client/remote-files.ts";

const DIRECTORY = 0o040755;
const FILE = 0o100644;
const NEVER = { seconds: 0, nanoseconds: 0 };

function status(ino: number, mode = FILE): RemoteStatus {
  return {
    ...{ ino: BigInt(ino), dev: 1n, birth: 0n, mode, nlink: 1, uid: 0, gid: 0, rdev: 0, size: 0 },
    ...{ blocks: 0, atime: NEVER, mtime: NEVER, ctime: NEVER, blksize: 4096 },
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (path: Uint8Array | undefined) => path && new TextDecoder().decode(path);

/** A table, and a function that looks a path's last name up as the kernel does. */
function tableWith() {
  const table = new NodeTable(status(1, DIRECTORY));
  const look = (parent: Node, name: string, ino: number, mode = FILE): Node => {
    const node = table.found(parent, bytes(name), status(ino, mode));
    node.lookups++;
    return node;
  };
  return { table, root: table.root, look, pathOf: (node: Node) => text(table.path(node)) };
}

describe("nodes", () => {
  test("have numbers of their own, and one path", () => {
    const { table, root, look, pathOf } = tableWith();
    const directory = look(root, "d", 2, DIRECTORY);
    const file = look(directory, "f", 3);
    expect([root.id, directory.id, file.id]).toEqual([1, 2, 3]);
    expect([root, directory, file].map(pathOf)).toEqual(["", "d", "d/f"]);
    expect(text(table.path(file, bytes("x")))).toBe("d/f/x");
    expect(text(table.path(root, bytes("x")))).toBe("x");
    expect(table.get(3)).toBe(file);
    expect(table.get(4)).toBeUndefined();
  });

  test("keep a name of any bytes, also when the caller's buffer changes", () => {
    const { table, root } = tableWith();
    const name = Uint8Array.of(0xff, 0x0a, 0xfe);
    const node = table.found(root, name, status(2));
    name.fill(0x41);
    expect([...(table.path(node) ?? [])]).toEqual([0xff, 0x0a, 0xfe]);
    expect(table.child(root, Uint8Array.of(0xff, 0x0a, 0xfe))).toBe(node);
  });

  test("stay the same for a name that is found again", () => {
    const { root, look } = tableWith();
    expect(look(root, "a", 2)).toBe(look(root, "a", 2));
  });

  test("are others if the name has become another file, or another type", () => {
    const { root, look, pathOf } = tableWith();
    const first = look(root, "a", 2);
    const second = look(root, "a", 3);
    expect(second).not.toBe(first);
    expect(pathOf(first)).toBeUndefined();
    const directory = look(root, "a", 3, DIRECTORY);
    expect(directory).not.toBe(second);
    expect([second, directory].map(pathOf)).toEqual([undefined, "a"]);
  });

  test("are one for all names of a file, found by any that is left", () => {
    const { table, root, look, pathOf } = tableWith();
    const file = look(root, "a", 2);
    expect(look(root, "b", 2)).toBe(file);
    expect(pathOf(file)).toBe("b");
    table.removed(root, bytes("b"));
    expect(pathOf(file)).toBe("a");
    table.removed(root, bytes("a"));
    expect(pathOf(file)).toBeUndefined();
    expect(table.get(file.id)).toBe(file);
  });

  test("are others once the inode number is used again", () => {
    const { table, root, look } = tableWith();
    const file = look(root, "a", 2);
    table.removed(root, bytes("a"));
    expect(look(root, "b", 2)).not.toBe(file);
  });

  test("are others for another device, or another time of birth", () => {
    const { table, root, look } = tableWith();
    const file = look(root, "a", 2);
    expect(table.isSame(file, status(2))).toBe(true);
    expect(table.isSame(file, { ...status(2), dev: 2n })).toBe(false);
    expect(table.isSame(file, { ...status(2), birth: 1n })).toBe(false);
    expect(table.isSame(file, status(3))).toBe(false);
    expect(table.isSame(file, status(2, DIRECTORY))).toBe(false);
    expect(table.found(root, bytes("b"), { ...status(2), birth: 1n })).not.toBe(file);
  });

  test("move with their directory, also one that was moved on the host", () => {
    const { root, look, pathOf } = tableWith();
    const directory = look(root, "d", 2, DIRECTORY);
    const other = look(root, "o", 3, DIRECTORY);
    const file = look(directory, "f", 4);
    expect(pathOf(file)).toBe("d/f");
    expect(look(other, "e", 2, DIRECTORY)).toBe(directory);
    expect(pathOf(file)).toBe("o/e/f");
    expect(directory.places.length).toBe(1);
    expect(look(root, "x", 2, DIRECTORY)).toBe(directory);
  });

  test("of a directory that is below itself on a hostile host have no path", () => {
    const { table, root, look, pathOf } = tableWith();
    const outer = look(root, "d", 2, DIRECTORY);
    const inner = look(outer, "i", 3, DIRECTORY);
    expect(look(inner, "loop", 2, DIRECTORY)).toBe(outer);
    expect([outer, inner].map(pathOf)).toEqual([undefined, undefined]);
    expect(look(root, "d", 2, DIRECTORY)).not.toBe(outer);
    const self = look(root, "s", 9, DIRECTORY);
    look(self, "s", 9, DIRECTORY);
    expect(pathOf(self)).toBeUndefined();
    expect(look(root, "root", 1, DIRECTORY)).not.toBe(root);
    const moved = look(root, "m", 4, DIRECTORY);
    const below = look(moved, "b", 5, DIRECTORY);
    table.renamed({ parent: root, name: bytes("m") }, { parent: below, name: bytes("m") });
    expect(pathOf(moved)).toBeUndefined();
  });

  test("that are lost have no path, and are found anew", () => {
    const { table, root, look, pathOf } = tableWith();
    const file = look(root, "a", 2);
    table.lost(file);
    expect(pathOf(file)).toBeUndefined();
    table.lost(file);
    expect(look(root, "a", 2)).not.toBe(file);
  });
});

describe("a rename", () => {
  const place = (parent: Node, name: string) => ({ parent, name: bytes(name) });

  test("moves a directory with all that is below", () => {
    const { table, root, look, pathOf } = tableWith();
    const directory = look(root, "d", 2, DIRECTORY);
    const inner = look(directory, "i", 3, DIRECTORY);
    const file = look(inner, "f", 4);
    expect(pathOf(file)).toBe("d/i/f");
    table.renamed(place(root, "d"), place(root, "e"));
    expect([directory, inner, file].map(pathOf)).toEqual(["e", "e/i", "e/i/f"]);
    expect(table.child(root, bytes("d"))).toBeUndefined();
    expect(table.child(root, bytes("e"))).toBe(directory);
  });

  test("replaces what stood at the new name", () => {
    const { table, root, look, pathOf } = tableWith();
    const [moved, replaced] = [look(root, "a", 2), look(root, "b", 3)];
    table.renamed(place(root, "a"), place(root, "b"));
    expect([moved, replaced].map(pathOf)).toEqual(["b", undefined]);
    expect(look(root, "b", 2)).toBe(moved);
  });

  test("of a name that is not known removes the new name", () => {
    const { table, root, look, pathOf } = tableWith();
    const replaced = look(root, "b", 3);
    table.renamed(place(root, "a"), place(root, "b"));
    expect(pathOf(replaced)).toBeUndefined();
  });

  test("between two names of one file does nothing", () => {
    const { table, root, look } = tableWith();
    const file = look(root, "a", 2);
    look(root, "b", 2);
    table.renamed(place(root, "a"), place(root, "b"));
    expect(table.child(root, bytes("a"))).toBe(file);
    expect(file.places.length).toBe(2);
  });

  test("keeps the other names of the file", () => {
    const { table, root, look } = tableWith();
    const file = look(root, "a", 2);
    look(root, "b", 2);
    table.renamed(place(root, "a"), place(root, "c"));
    expect(file.places.map(({ name }) => text(name))).toEqual(["b", "c"]);
  });

  test("exchanges two names, of files and directories", () => {
    const { table, root, look, pathOf } = tableWith();
    const directory = look(root, "d", 2, DIRECTORY);
    const file = look(root, "f", 3);
    const inner = look(directory, "i", 4);
    table.exchanged(place(root, "d"), place(root, "f"));
    expect([directory, file, inner].map(pathOf)).toEqual(["f", "d", "f/i"]);
    expect(table.child(root, bytes("d"))).toBe(file);
    expect(table.child(root, bytes("f"))).toBe(directory);
    table.exchanged(place(root, "d"), place(root, "unknown"));
    expect(pathOf(file)).toBe("unknown");
    expect(table.child(root, bytes("d"))).toBeUndefined();
  });
});

describe("memory", () => {
  test("is freed when the kernel has forgotten all lookups", () => {
    const { table, root, look } = tableWith();
    const file = look(root, "a", 2);
    look(root, "a", 2);
    table.forget(file.id, 1);
    expect(table.size).toBe(2);
    table.forget(file.id, 1);
    expect(table.size).toBe(1);
    expect(table.get(file.id)).toBeUndefined();
    expect(table.child(root, bytes("a"))).toBeUndefined();
    expect(look(root, "a", 2)).not.toBe(file);
  });

  test("of a directory stays while names below it are known", () => {
    const { table, root, look, pathOf } = tableWith();
    const directory = look(root, "d", 2, DIRECTORY);
    const file = look(directory, "f", 3);
    table.forget(directory.id, 1);
    expect(table.size).toBe(3);
    expect(pathOf(file)).toBe("d/f");
    table.forget(file.id, 1);
    expect(table.size).toBe(1);
  });

  test("stays while a handle is open", () => {
    const { table, root, look } = tableWith();
    const file = look(root, "a", 2);
    file.handles.add(9);
    table.forget(file.id, 1);
    expect(table.get(file.id)).toBe(file);
    file.handles.delete(9);
    table.drop(file);
    expect(table.size).toBe(1);
  });

  test("of the root stays, and a hostile count does no harm", () => {
    const { table, root, look } = tableWith();
    table.forget(1, 1_000_000);
    expect(table.get(1)).toBe(root);
    table.forget(77, 1);
    const file = look(root, "a", 2);
    table.forget(file.id, 1_000_000);
    expect(table.size).toBe(1);
  });

  test("of a removed file is freed at once if nothing uses it", () => {
    const { table, root } = tableWith();
    table.found(root, bytes("a"), status(2));
    table.removed(root, bytes("a"));
    expect(table.size).toBe(1);
  });
});
