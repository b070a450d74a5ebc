import { describe, expect, test } from "bun:test";
import { MemoryFiles } from "../../../../src/vfs/server/memory-files.ts";
import { codeOf, contentOf, treeOf } from "../../../support/provided-tree.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("files in memory", () => {
  test("begin with those that are given, and their directories", async () => {
    const files = new MemoryFiles({ "a/b/c": "text", d: Uint8Array.of(65), "a/e": "" });
    expect(await treeOf(files)).toEqual([
      ...["directory 755 a: ", "directory 755 a/b: ", "file 644 a/b/c: text", "file 644 a/e: "],
      "file 644 d: A",
    ]);
  });

  test("are read in parts, up to their ends", () => {
    const files = new MemoryFiles({ f: "0123456789" });
    const read = (offset: number, size: number) =>
      Buffer.from(files.read("f", offset, size)).toString();
    expect([read(0, 4), read(8, 4), read(10, 1), read(99, 1)]).toEqual(["0123", "89", "", ""]);
  });

  test("grow by writes, with zeros in gaps, and never show old bytes again", async () => {
    const files = new MemoryFiles({ f: "abcdef" });
    files.write("f", 8, bytes("x"));
    expect(await contentOf(files, "f")).toBe("abcdef\0\0x");
    files.truncate("f", 2);
    files.truncate("f", 4);
    expect(await contentOf(files, "f")).toBe("ab\0\0");
    files.write("f", 6, bytes("y"));
    expect(await contentOf(files, "f")).toBe("ab\0\0\0\0y");
    files.truncate("f", 0);
    files.write("f", 3, bytes(""));
    expect(files.stat("f")?.size).toBe(0);
    files.write("f", 1, bytes("z"));
    expect(await contentOf(files, "f")).toBe("\0z");
  });

  test("have modes, times and links", () => {
    const files = new MemoryFiles();
    files.makeDirectory("d", 0o700);
    files.makeLink("d/l", "../x");
    files.create("d/f", 0o600);
    files.setMode("d/f", 0o640);
    files.setTime("d/f", 1234.5);
    expect(files.stat("d")).toMatchObject({ type: "directory", mode: 0o700 });
    expect(files.stat("d/l")).toMatchObject({ type: "link", target: "../x" });
    expect(files.stat("d/f")).toMatchObject({ type: "file", mode: 0o640, mtimeMs: 1234.5 });
    expect(files.stat("d/none")).toBeUndefined();
    expect(files.stat("d/f/none")).toBeUndefined();
  });

  test("have the time of their last change", () => {
    const files = new MemoryFiles({ "d/f": "" });
    for (const path of ["d", "d/f"]) files.setTime(path, 0);
    files.write("d/f", 0, bytes("x"));
    expect(files.stat("d/f")?.mtimeMs).toBeGreaterThan(0);
    expect(files.stat("d")?.mtimeMs).toBe(0);
    files.remove("d/f");
    expect(files.stat("d")?.mtimeMs).toBeGreaterThan(0);
  });

  test.each<[string, (files: MemoryFiles) => void]>([
    ["ENOENT", (files) => files.read("none", 0, 1)],
    ["ENOENT", (files) => files.create("none/f", 0o644)],
    ["ENOTDIR", (files) => files.create("f/g", 0o644)],
    ["EEXIST", (files) => files.create("f", 0o644)],
    ["EEXIST", (files) => files.makeDirectory("", 0o755)],
    ["EISDIR", (files) => files.write("d", 0, bytes("x"))],
    ["EINVAL", (files) => files.read("l", 0, 1)],
    ["ENOTDIR", (files) => files.list("f")],
    ["ENOTEMPTY", (files) => files.remove("d")],
    ["EBUSY", (files) => files.remove("")],
    ["EBUSY", (files) => files.rename("", "x")],
    ["EBUSY", (files) => files.rename("d", "")],
    ["EISDIR", (files) => files.rename("f", "e")],
    ["ENOTDIR", (files) => files.rename("e", "f")],
    ["ENOTEMPTY", (files) => files.rename("e", "d")],
    ["EINVAL", (files) => files.rename("d", "d/g/h")],
    ["ENOENT", (files) => files.rename("f", "none/f")],
  ])("fail with %s as those of a disk", async (code, call) => {
    const files = new MemoryFiles({ f: "text", "d/g/f": "" });
    files.makeDirectory("e", 0o755);
    files.makeLink("l", "f");
    const before = await treeOf(files);
    expect(await codeOf(() => call(files))).toBe(code);
    expect(await treeOf(files)).toEqual(before);
  });

  test("are renamed with all that is in them, and replace others", async () => {
    const files = new MemoryFiles({ "a/b": "1", "c/d": "2", f: "3", g: "4" });
    files.rename("a", "c/a");
    files.rename("f", "g");
    files.rename("g", "g");
    expect(await treeOf(files)).toEqual([
      ...["directory 755 c: ", "directory 755 c/a: ", "file 644 c/a/b: 1", "file 644 c/d: 2"],
      "file 644 g: 3",
    ]);
  });
});

describe("limits of files in memory", () => {
  test("are bytes of all files, which removed and shortened ones do not count", async () => {
    const files = new MemoryFiles({ a: "12345" }, { maxBytes: 10 });
    files.create("b", 0o644);
    expect(await codeOf(() => files.write("b", 1, bytes("12345")))).toBe("ENOSPC");
    expect(await codeOf(() => files.truncate("b", 6))).toBe("ENOSPC");
    files.write("b", 0, bytes("12345"));
    files.truncate("a", 4);
    files.write("b", 5, bytes("6"));
    files.remove("a");
    files.truncate("b", 10);
    expect(await codeOf(() => files.truncate("b", 2 ** 50))).toBe("ENOSPC");
  });

  test("are files of every type, of which a renamed one stays one", async () => {
    const files = new MemoryFiles({}, { maxFiles: 2 });
    files.makeDirectory("d", 0o755);
    files.makeLink("l", "x");
    expect(await codeOf(() => files.create("f", 0o644))).toBe("ENOSPC");
    for (const [from, to] of [
      ["l", "d/l"],
      ["d/l", "m"],
    ] as const) {
      files.rename(from, to);
    }
    expect(await codeOf(() => files.create("f", 0o644))).toBe("ENOSPC");
    files.remove("m");
    files.create("f", 0o644);
  });
});
