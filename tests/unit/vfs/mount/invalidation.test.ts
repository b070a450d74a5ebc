import { describe, expect, test } from "bun:test";
import type { NoteKind } from "../../../../src/protocols/vfs/responses.ts";
import type { RemoteStatus } from "../../../../src/vfs/client/remote-files.ts";
import { Invalidation } from "../../../../src/vfs/mount/invalidation.ts";
import { NodeTable } from "../../../../src/vfs/mount/node-table.ts";
import { readStruct } from "../../../support/fuse-structs.ts";

const NEVER = { seconds: 0, nanoseconds: 0 };
const bytes = (text: string) => new TextEncoder().encode(text);
const status = (ino: number, mode: number): RemoteStatus => ({
  ...{ ino: BigInt(ino), dev: 1n, birth: 0n, mode, nlink: 1, uid: 0, gid: 0, rdev: 0, size: 0 },
  ...{ blocks: 0, atime: NEVER, mtime: NEVER, ctime: NEVER, blksize: 4096 },
});

/** The directory d (node 2) with the file f (node 3), and what notifications lead to. */
function mounted() {
  const nodes = new NodeTable(status(1, 0o040755));
  const directory = nodes.found(nodes.root, bytes("d"), status(2, 0o040755));
  const file = nodes.found(directory, bytes("f"), status(3, 0o100644));
  const invalid: number[] = [];
  const changed: string[] = [];
  const invalidation = new Invalidation(nodes, {
    notify: (message) => {
      const { error, unique } = readStruct("fuse_out_header", message);
      const { ino = 0, off } = readStruct("fuse_notify_inval_inode_out", message, 16);
      expect([error, unique, off]).toEqual([2, 0, -1]);
      invalid.push(ino);
    },
    onChange: (path) => changed.push(new TextDecoder().decode(path)),
  });
  const note = (kind: NoteKind, path: string, newPath?: string) =>
    invalidation.note({
      ...{ kind, path: bytes(path) },
      newPath: newPath === undefined ? undefined : bytes(newPath),
    });
  return { nodes, directory, file, invalid, changed, note };
}

describe("a change on the host", () => {
  test.each<[NoteKind, string, number[], string[]]>([
    ["modified", "d/f", [3], ["d/f"]],
    ["attributes", "d/f", [3], ["d/f"]],
    ["attributes", "d", [2], ["d"]],
    ["attributes", "", [1], [""]],
    ["created", "d/new", [2], ["d/new"]],
    ["created", "new", [1], ["new"]],
    ["removed", "d/f", [3, 2], ["d"]],
    ["removed", "d", [2, 1], [""]],
    ["modified", "unknown/f", [], ["unknown/f"]],
  ])("%s of %s", (kind, path, nodes, paths) => {
    const { invalid, changed, note } = mounted();
    note(kind, path);
    expect({ invalid, changed }).toEqual({ invalid: nodes, changed: paths });
  });

  test("of content has the pages dropped, also if its time is that of the change before", () => {
    const { nodes, file, directory, note } = mounted();
    note("attributes", "d/f");
    expect(file.hasOldPages).toBe(false);
    note("modified", "d/f");
    expect([file.hasOldPages, directory.hasOldPages]).toEqual([true, false]);
    note("overflow", "");
    expect([...nodes.nodes()].every((node) => node.hasOldPages)).toBe(true);
  });

  test("of a name invalidates both directories", () => {
    const { invalid, changed, note } = mounted();
    note("renamed", "d/f", "g");
    expect({ invalid, changed }).toEqual({ invalid: [3, 2], changed: ["d", "g"] });
  });

  test("that was lost invalidates everything", () => {
    const { invalid, note } = mounted();
    note("overflow", "");
    expect(invalid).toEqual([1, 2, 3]);
  });
});
