import { expect, test } from "bun:test";
import type { VfsRequest } from "../../../../src/protocols/vfs/requests.ts";
import { OwnChanges } from "../../../../src/vfs/server/own-changes.ts";

const path = Buffer.from("d/f");
const newPath = Buffer.from("d/g");
const O_RDWR = 0o2;
const O_TRUNC = 0o1000;

const made = { path, mode: 0o644, uid: undefined, gid: undefined };
const REQUESTS: readonly [VfsRequest, readonly (readonly [string, string])[]][] = [
  [
    { op: "create", flags: O_RDWR, ...made },
    [
      ["created", "d/f"],
      ["attributes", "d/f"],
    ],
  ],
  [{ op: "mkdir", ...made }, [["created", "d/f"]]],
  [{ op: "mknod", rdev: 0, ...made }, [["created", "d/f"]]],
  [{ op: "symlink", target: path, newPath, uid: 0, gid: 0 }, [["created", "d/g"]]],
  [
    { op: "link", path, newPath },
    [
      ["created", "d/g"],
      ["attributes", "d/f"],
    ],
  ],
  [{ op: "open", path, flags: O_RDWR | O_TRUNC }, [["modified", "d/f"]]],
  [{ op: "unlink", path }, [["removed", "d/f"]]],
  [{ op: "rmdir", path }, [["removed", "d/f"]]],
  [{ op: "removeXattr", path, name: path }, [["attributes", "d/f"]]],
];

/** A connection's changes, with a watcher whose turns a test makes. */
function connection() {
  const turns = { isWatching: true, turn: 0 };
  const own = new OwnChanges(turns);
  const has = (kind: string, name: string | Uint8Array = path) =>
    own.remove({ kind: kind as "modified", path: Buffer.from(name) });
  return { turns, own, has };
}

test.each(REQUESTS)("of %p are recognised, and no others", (request, changes) => {
  const { own, has } = connection();
  for (const [kind, name] of changes) expect(has(kind, name)).toBe(false);
  own.record(request, undefined);
  for (const [kind, name] of changes) expect(has(kind, name)).toBe(true);
  expect(has("overflow")).toBe(false);
  expect(has("created", "d/other")).toBe(false);
  expect(has("renamed")).toBe(false);
});

test("of both names of a rename are recognised", () => {
  const { own } = connection();
  own.record({ op: "rename", path, newPath, flags: 0 }, undefined);
  expect(own.remove({ kind: "renamed", path, newPath: Buffer.from("other") })).toBe(false);
  expect(own.remove({ kind: "renamed", path, newPath })).toBe(true);
  expect(own.remove({ kind: "renamed", path, newPath })).toBe(false);
  own.record({ op: "rename", path, newPath, flags: 2 }, undefined);
  expect(own.remove({ kind: "renamed", path, newPath })).toBe(true);
  expect(own.remove({ kind: "renamed", path: newPath, newPath: path })).toBe(true);
});

test("by a handle have the path that it was opened with", () => {
  const { own, has } = connection();
  const write = { op: "write", handle: 7, offset: 0, data: path } as const;
  own.record(write, undefined);
  expect(has("modified")).toBe(false);
  own.record({ op: "open", path, flags: O_RDWR }, 7);
  expect(has("modified")).toBe(false);
  own.record(write, undefined);
  expect(has("modified")).toBe(true);
});

test("by a handle that was released are the host's", () => {
  const { own, has } = connection();
  own.record({ op: "open", path, flags: O_RDWR }, 7);
  own.record({ op: "release", handle: 7 }, undefined);
  own.record({ op: "fallocate", handle: 7, offset: 0, length: 1, flags: 0 }, undefined);
  expect(has("modified")).toBe(false);
});

test("of attributes by a handle have the handle's path, else their own", () => {
  const { own, has } = connection();
  own.record({ op: "open", path, flags: O_RDWR }, 7);
  const none = { mode: undefined, uid: undefined, gid: undefined };
  const rest = { ...none, size: 0, atime: undefined, mtime: undefined };
  own.record({ op: "setAttributes", path: newPath, handle: undefined, ...rest }, undefined);
  expect([has("attributes", newPath), has("modified")]).toEqual([true, false]);
  own.record({ op: "setAttributes", path: newPath, handle: 7, ...rest }, undefined);
  expect([has("attributes"), has("modified")]).toEqual([true, true]);
});

test("a change after the watcher's queue was empty is the host's", () => {
  const { own, has, turns } = connection();
  own.record({ op: "unlink", path }, undefined);
  expect(has("removed")).toBe(true);
  turns.turn++;
  expect(has("removed")).toBe(false);
});

test("of the same kind are as many as were made: the next one is the host's", () => {
  const { own, has } = connection();
  own.record({ op: "unlink", path }, undefined);
  own.record({ op: "unlink", path }, undefined);
  expect([has("removed"), has("removed"), has("removed")]).toEqual([true, true, false]);
});

test("without a watcher nothing is recorded", () => {
  const { own, has, turns } = connection();
  turns.isWatching = false;
  own.record({ op: "unlink", path }, undefined);
  expect(has("removed")).toBe(false);
});

test("their number is limited", () => {
  const { own, has } = connection();
  for (let index = 0; index < 5000; index++) {
    own.record({ op: "unlink", path: Buffer.from(String(index)) }, undefined);
  }
  expect([has("removed", "0"), has("removed", "4095"), has("removed", "4096")]).toEqual([
    ...[true, true, false],
  ]);
});
