import { describe, expect, test } from "bun:test";
import {
  EntryPacker,
  unpackEntries,
  type VfsEntry,
} from "../../../../src/protocols/vfs/entries.ts";
import type { FileStat } from "../../../../src/file-stat.ts";

const time = { seconds: 1, nanoseconds: 2 };
const stat: FileStat = {
  ...{ ino: 5n, dev: 1n, birth: 0n, mode: 0o100_600, nlink: 1, uid: 1, gid: 2, rdev: 0 },
  ...{ size: 10, blocks: 8, atime: time, mtime: time, ctime: time, blksize: 4096 },
};
const entry = (name: string, more: Partial<VfsEntry> = {}): VfsEntry => ({
  ...{
    name: new Uint8Array(Buffer.from(name, "latin1")),
    type: 8,
    ino: 7n,
    offset: 2n ** 63n,
    stat: undefined,
  },
  ...more,
});

describe("entries", () => {
  test("come back, with facts and without", () => {
    const packer = new EntryPacker(4096);
    const entries = [entry("a"), entry("\xff\n", { type: 4, stat }), entry("x".repeat(255))];
    expect(entries.map((one) => packer.add(one))).toEqual([true, true, true]);
    expect(unpackEntries(packer.packed)).toEqual(entries);
  });

  test("fill the buffer to the byte and no further", () => {
    const packer = new EntryPacker(42);
    expect([entry("a"), entry("b"), entry("c")].map((one) => packer.add(one))).toEqual([
      true,
      true,
      false,
    ]);
    expect(packer.packed).toHaveLength(42);
    const short = new EntryPacker(144);
    expect(short.add(entry("a".repeat(21), { stat }))).toBe(false);
    expect(short.add(entry("a".repeat(20), { stat }))).toBe(true);
  });

  test("cut at every byte are refused", () => {
    const packer = new EntryPacker(4096);
    packer.add(entry("ab", { stat }));
    for (let end = 1; end < packer.packed.length; end++) {
      expect(() => unpackEntries(packer.packed.subarray(0, end))).toThrow("incomplete");
    }
    expect(unpackEntries(new Uint8Array(0))).toEqual([]);
  });

  test("may have facts of a later version, not of an earlier one", () => {
    const packer = new EntryPacker(4096);
    packer.add(entry("ab", { stat }));
    const longer = Buffer.concat([packer.packed, Buffer.alloc(4)]);
    longer.writeUInt16BE(108, 0);
    expect(unpackEntries(longer)).toEqual([entry("ab", { stat })]);
    longer.writeUInt16BE(103, 0);
    expect(() => unpackEntries(longer.subarray(0, 125))).toThrow("incomplete");
  });

  test.each(["", "a/b", "a\0"])("have no name %p", (name) => {
    const packer = new EntryPacker(4096);
    packer.add(entry(name));
    expect(() => unpackEntries(packer.packed)).toThrow("the name of an entry");
  });
});
