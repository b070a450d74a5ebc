import { describe, expect, test } from "bun:test";
import {
  formatPartName,
  isOwnPart,
  parsePartName,
  partHash,
} from "../../../src/files/part-name.ts";

const part = { hash: partHash(Buffer.from("doc")), inode: 0xabcn };

describe("names of unfinished files", () => {
  test("are read back, also with the largest inode number", () => {
    for (const inode of [0n, 0xabcn, 2n ** 64n - 1n]) {
      expect(parsePartName(formatPartName({ ...part, inode }))).toEqual({ ...part, inode });
    }
  });

  test("differ for names that begin in the same way", () => {
    const long = Buffer.alloc(255, "a");
    expect(partHash(long)).not.toBe(partHash(long.subarray(1)));
    expect(formatPartName({ hash: partHash(long), inode: 2n ** 64n - 1n }).length).toBeLessThan(
      256,
    );
  });

  test.each([
    "doc",
    ".doc.vsockbox-part",
    ".vsockbox-part-0123456789abcdef",
    ".vsockbox-part-0123456789abcdef-",
    ".vsockbox-part-0123456789abcde-1",
    ".vsockbox-part-0123456789ABCDEF-1",
    "x.vsockbox-part-0123456789abcdef-1",
    ".vsockbox-part-0123456789abcdef-1x",
    ".vsockbox-part-0123456789abcdef-00000000000000001",
  ])("%s is not one", (name) => {
    expect(parsePartName(Buffer.from(name))).toBeUndefined();
  });
});

describe("isOwnPart", () => {
  const status = { mode: 0o100600, uid: 1000, links: 1, inode: 0xabcn };

  test("a private regular file of the user with the inode of its name", () => {
    expect(isOwnPart(status, part, 1000)).toBe(true);
  });

  test.each([
    ["of another user", { uid: 0 }],
    ["that others may read", { mode: 0o100644 }],
    ["with a set-ID bit", { mode: 0o104600 }],
    ["that is a directory", { mode: 0o040600 }],
    ["that is a link", { mode: 0o120600 }],
    ["that is a FIFO", { mode: 0o010600 }],
    ["with another name", { links: 2 }],
    ["that is a copy", { inode: 0xabdn }],
  ])("not one %s", (_, difference) => {
    expect(isOwnPart({ ...status, ...difference }, part, 1000)).toBe(false);
  });
});
