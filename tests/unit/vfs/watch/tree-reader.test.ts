import { describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { DirectoryHandle } from "../../../../src/files/directory-handle.ts";
import { readTreeEntries, TreeReader } from "../../../../src/vfs/watch/tree-reader.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const names = (...texts: string[]) => texts.map((text) => Buffer.from(text));

function readerOf(path: string): TreeReader {
  return new TreeReader({ kind: "handle", handle: DirectoryHandle.open(Buffer.from(path)) });
}

describe("the reader of a tree", () => {
  test("opens directories below the root by their names", () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("a/b"), { recursive: true });
    writeFileSync(scratch.file("a/b/c"), "");
    using reader = readerOf(scratch.path);
    using opened = reader.open(names("a", "b"));
    expect(opened?.entries().map(({ name }) => Buffer.from(name).toString())).toEqual(["c"]);
  });

  test("opens no links, files or missing names, and counts none of them as unreadable", () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("a/b"), { recursive: true });
    writeFileSync(scratch.file("file"), "");
    symlinkSync("a", scratch.file("link"));
    using reader = readerOf(scratch.path);
    for (const path of [["link"], ["link", "b"], ["file"], ["file", "b"], ["none"]]) {
      expect(reader.open(names(...path))).toBeUndefined();
    }
    expect(reader.unreadable).toBe(0);
  });

  test("skips /proc and /sys, unless the root is there", () => {
    using fromRoot = readerOf("/");
    expect(fromRoot.open(names("proc"))).toBeUndefined();
    expect(fromRoot.open(names("proc", "self", "fd"))).toBeUndefined();
    using inProc = readerOf("/proc");
    using opened = inProc.open(names("sys"));
    expect(opened).toBeDefined();
  });

  test("opens a root by its path only as long as it is the same directory", () => {
    using scratch = new ScratchDirectory();
    const path = Buffer.from(scratch.file("root"));
    mkdirSync(scratch.file("root/a"), { recursive: true });
    using root = DirectoryHandle.open(path);
    using reader = new TreeReader({ kind: "path", path, identity: root.status() });
    using opened = reader.open(names("a"));
    expect(opened).toBeDefined();
    renameSync(path, scratch.file("moved"));
    expect(reader.open([])).toBeUndefined();
    mkdirSync(scratch.file("root/a"), { recursive: true });
    expect([reader.open([]), reader.open(names("a"))]).toEqual([undefined, undefined]);
  });

  test("opens a root by its descriptor wherever it is", () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("root/a"), { recursive: true });
    using reader = readerOf(scratch.file("root"));
    renameSync(scratch.file("root"), scratch.file("moved"));
    using opened = reader.open(names("a"));
    expect(opened).toBeDefined();
  });

  test("reads which entries are directories, and nothing of a removed one", () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("d"));
    symlinkSync("d", scratch.file("link"));
    using directory = DirectoryHandle.open(Buffer.from(scratch.path));
    const entries = readTreeEntries(directory).map(({ name, isDirectory }) => [
      Buffer.from(name).toString(),
      isDirectory,
    ]);
    expect(Object.fromEntries(entries)).toEqual({ d: true, link: false });
    using removed = directory.openDirectory(Buffer.from("d"));
    rmdirSync(scratch.file("d"));
    expect(readTreeEntries(removed)).toEqual([]);
  });
});
