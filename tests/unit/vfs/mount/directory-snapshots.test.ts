import { describe, expect, test } from "bun:test";
import type {
  ListedEntry,
  RemoteFiles,
  RemoteStatus,
} from "../../../../src/vfs/client/remote-files.ts";
import { DirectorySnapshots } from "../../../../src/vfs/mount/directory-snapshots.ts";
import { NodeTable } from "../../../../src/vfs/mount/node-table.ts";

const NEVER = { seconds: 0, nanoseconds: 0 };
const bytes = (text: string) => new TextEncoder().encode(text);
const status = (ino: number, mode = 0o100644): RemoteStatus => ({
  ...{ ino: BigInt(ino), dev: 1n, birth: 0n, mode, nlink: 1, uid: 0, gid: 0, rdev: 0, size: ino },
  ...{ blocks: 0, atime: NEVER, mtime: NEVER, ctime: NEVER, blksize: 4096 },
});
const entry = (name: string, ino: number): ListedEntry => ({
  ...{ name: bytes(name), type: 8, ino: BigInt(ino), stat: status(ino) },
});

/** A root with the pages of a list, and what was asked for. */
function directory(
  pages: readonly (readonly ListedEntry[])[],
  validMs = 1000,
  gate: Promise<void> = Promise.resolve(),
) {
  const nodes = new NodeTable(status(1, 0o040755));
  const calls: string[] = [];
  const clock = { now: 5000 };
  const files = {
    openDirectory: async () => (calls.push("open"), 7),
    list: async (_handle: number, _path: Uint8Array, from: bigint) => {
      calls.push(`list ${from}`);
      await gate;
      const next = Number(from) + 1;
      return {
        entries: pages[Number(from)] ?? [],
        next: next < pages.length ? BigInt(next) : undefined,
      };
    },
    release: async () => void calls.push("release"),
  } as unknown as RemoteFiles;
  const snapshots = new DirectorySnapshots({
    ...{ validMs, files: () => files, path: (node) => nodes.path(node), now: () => clock.now },
  });
  const { root } = nodes;
  const find = (name: string) => snapshots.find(root, bytes(name));
  return { nodes, root, snapshots, calls, clock, find };
}

const settled = () => Bun.sleep(0);
const lookUp = (find: (name: string) => unknown, count: number) => {
  for (let index = 0; index < count; index++) expect(find("x")).toBeUndefined();
};

describe("a directory", () => {
  test("is listed after four lookups in quick succession, all its parts once", async () => {
    const { calls, find, clock } = directory([[entry("a", 2)], [entry("b", 3)]]);
    lookUp(find, 3);
    await settled();
    expect(calls).toEqual([]);
    lookUp(find, 4);
    await settled();
    expect(calls).toEqual(["open", "list 0", "list 1", "release"]);
    clock.now += 10;
    expect(find("a")).toEqual({ status: status(2), ageMs: 10 });
    expect(find("b")).toEqual({ status: status(3), ageMs: 10 });
    expect(find("none")).toEqual({ status: undefined, ageMs: 10 });
  });

  test("is not listed for lookups with pauses", async () => {
    const { calls, find, clock } = directory([[entry("a", 2)]]);
    for (let count = 0; count < 10; count++) {
      lookUp(find, 1);
      clock.now += 51;
    }
    await settled();
    expect(calls).toEqual([]);
    clock.now -= 1;
    lookUp(find, 3);
    await settled();
    expect(calls).toContain("list 0");
  });

  test("is asked again when the list is too old, or nothing is kept", async () => {
    const { calls, find, clock } = directory([[entry("a", 2)]]);
    lookUp(find, 4);
    await settled();
    clock.now += 999;
    expect(find("a")).toBeDefined();
    clock.now += 1;
    expect(find("a")).toBeUndefined();
    const none = directory([[entry("a", 2)]], 0);
    lookUp(none.find, 9);
    await settled();
    expect([calls.length, none.calls.length]).toEqual([3, 0]);
  });

  test("is dropped by a change of it, or of a file in it", async () => {
    const { nodes, root, snapshots, calls, clock, find } = directory([[entry("a", 2)]]);
    const file = nodes.found(root, bytes("a"), status(2));
    for (const node of [root, file]) {
      lookUp(find, 4);
      await settled();
      expect(find("a")).toBeDefined();
      snapshots.changed(node);
      const asked = calls.length;
      // One that changes all the time is not listed again and again.
      clock.now += 999;
      lookUp(find, 9);
      await settled();
      expect(calls.length).toBe(asked);
      clock.now += 1;
    }
  });

  test("that changes while it is listed is not kept", async () => {
    const gate = Promise.withResolvers<void>();
    const { root, snapshots, calls, find } = directory([[entry("a", 2)]], 1000, gate.promise);
    lookUp(find, 4);
    snapshots.drop(root);
    // It is read once at a time.
    lookUp(find, 8);
    gate.resolve();
    await settled();
    expect(calls).toEqual(["open", "list 0", "release"]);
    expect(find("a")).toBeUndefined();
  });

  test("has names to ask for if their facts are unknown", async () => {
    const withoutFacts: ListedEntry = { ...entry("a", 2), stat: undefined };
    const { find } = directory([[withoutFacts]]);
    lookUp(find, 4);
    await settled();
    expect(find("a")).toBeUndefined();
    expect(find("b")).toMatchObject({ status: undefined });
  });

  test("of too many names is not kept", async () => {
    const many = Array.from({ length: 4001 }, (_, index) => entry(`n${index}`, index));
    const { calls, find } = directory([many, many]);
    lookUp(find, 4);
    await settled();
    expect(find("n1")).toBeUndefined();
    expect(calls).toEqual(["open", "list 0", "release"]);
  });
});
