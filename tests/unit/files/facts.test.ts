import { expect, test } from "bun:test";
import { linkSync, mkdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { DirectoryHandle } from "../../../src/files/directory-handle.ts";
import { entryFacts, fileKind, kindInWords } from "../../../src/files/facts.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

test.each([
  [0o100_644, "file", "file"],
  [0o040_755, "directory", "directory"],
  [0o120_777, "link", "symbolic link"],
  [0o010_600, "fifo", "FIFO"],
  [0o140_600, "socket", "socket"],
  [0o060_600, "block", "block device"],
  [0o020_600, "character", "character device"],
  [0o000_600, "unknown", "file of an unknown type"],
])("a mode of %p is that of a %s", (mode, kind, words) => {
  expect(fileKind({ mode })).toBe(kind as ReturnType<typeof fileKind>);
  expect(kindInWords(kind)).toBe(words);
});

test("the facts of an entry are those of the file, of a link its own and its target", () => {
  using scratch = new ScratchDirectory();
  writeFileSync(scratch.file("a"), "12345", { mode: 0o640 });
  linkSync(scratch.file("a"), scratch.file("b"));
  utimesSync(scratch.file("a"), 1000, 1234.5);
  symlinkSync("target", scratch.file("link"));
  mkdirSync(scratch.file("directory"), 0o700);
  const directory = DirectoryHandle.openPath(Buffer.from(scratch.path));
  try {
    const { uid, gid, ino } = statSync(scratch.file("a"));
    expect(entryFacts(directory, Buffer.from("a"))).toEqual({
      ...{ type: "file", size: 5, mode: 0o640, uid, gid, links: 2, inode: ino },
      mtimeMs: 1_234_500,
    });
    expect(entryFacts(directory, Buffer.from("link"))).toMatchObject({
      type: "link",
      target: "target",
    });
    expect(entryFacts(directory, Buffer.from("directory"))).toMatchObject({
      type: "directory",
      mode: 0o700,
    });
    expect(entryFacts(directory, Buffer.from("none"))).toBeUndefined();
  } finally {
    directory.close();
  }
});
