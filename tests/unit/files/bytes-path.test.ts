import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { parseOperand } from "../../../src/commands/shared/target.ts";
import {
  baseName,
  joinPath,
  namesDirectory,
  parentOf,
  showPath,
  withoutTrailingSlashes,
} from "../../../src/files/bytes-path.ts";
import { expandGlob, hasWildcard } from "../../../src/files/glob.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const path = (text: string) => Buffer.from(text, "latin1");

describe("paths as bytes", () => {
  test.each([
    ["/a/b", "b", "/a"],
    ["/a/b/", "b", "/a"],
    ["/a", "a", "/"],
    ["a", "a", "."],
    ["/", "", "/"],
    ["a//b", "b", "a"],
    ["\xff/\xfe", "\xfe", "\xff"],
  ])("%s", (whole, name, parent) => {
    expect(baseName(path(whole)).toString("latin1")).toBe(name);
    expect(parentOf(path(whole)).toString("latin1")).toBe(parent);
  });

  test("join with one slash, and lose those at the end", () => {
    expect(joinPath(path("/"), path("a")).toString()).toBe("/a");
    expect(joinPath(path("a"), path("b")).toString()).toBe("a/b");
    expect(withoutTrailingSlashes(path("//")).toString()).toBe("/");
  });

  test("what can only be a directory", () => {
    expect(
      ["a/", "/", ".", "..", "a/.", "a/..", ""].every((text) => namesDirectory(path(text))),
    ).toBe(true);
    expect(["a", "...", "a/b", ".a"].some((text) => namesDirectory(path(text)))).toBe(false);
  });

  test("are shown without anything that a terminal would obey", () => {
    expect(showPath(path("a\u001b[31m\nb\xff"))).toBe("a\\x1b[31m\\nb\\xff");
  });
});

describe("parseOperand", () => {
  test.each(["unix:/run/x.sock", "unix:x", "vsock:3", "hybrid:/run/vm", "sibling:4"])(
    "%s is an address without a path",
    (word) => {
      expect(() => parseOperand(path(word))).toThrow(
        expect.objectContaining({
          code: "USAGE",
          hint: `write ${word}:/PATH, or ./${word} for a local file`,
        }),
      );
    },
  );

  test.each([
    ["3:/etc/x", "3", "/etc/x"],
    ["3:5000:/x", "3:5000", "/x"],
    ["3:5000", "3", "5000"],
    ["web:rel/a:b", "web", "rel/a:b"],
    ["web:", "web", "."],
    ["vsock:3:/x", "vsock:3", "/x"],
    ["vsock:3:5000:/x", "vsock:3:5000", "/x"],
    ["vsock/3:/x", "vsock/3", "/x"],
    ["unix:/run/a.sock:/x:y", "unix:/run/a.sock", "/x:y"],
    ["hybrid:/run/v.sock:/x", "hybrid:/run/v.sock", "/x"],
    ["hybrid:/run/v.sock:5000:/x", "hybrid:/run/v.sock:5000", "/x"],
    ["3:\xff\n", "3", "\xff\n"],
  ])("%j is in a guest", (word, target, remote) => {
    expect(parseOperand(path(word))).toEqual({ kind: "remote", target, path: path(remote) });
  });

  test.each(["a", "./a:b", "/a:b", "../x", "a b:c", "dir/a:b", "ü:x"])("%j is here", (word) => {
    expect(parseOperand(path(word)).kind).toBe("local");
  });

  test("a dash is standard input or output", () => {
    expect(parseOperand(path("-"))).toEqual({ kind: "stream" });
  });
});

describe("expandGlob", () => {
  test("as a shell does", () => {
    using scratch = new ScratchDirectory();
    for (const name of ["a.log", "b.log", "c.txt", ".hidden", "x[1]", "sub/d.log", "sub/e"]) {
      mkdirSync(scratch.file("sub"), { recursive: true });
      writeFileSync(scratch.file(name), "");
    }
    const expand = (pattern: string) =>
      expandGlob(path(`${scratch.path}/${pattern}`), 100).map((found) =>
        found.toString().slice(scratch.path.length + 1),
      );
    expect(expand("*.log")).toEqual(["a.log", "b.log"]);
    expect(expand("[ab].*")).toEqual(["a.log", "b.log"]);
    expect(expand("[!ab]*")).toEqual(["c.txt", "sub", "x[1]"]);
    expect(expand("?.txt")).toEqual(["c.txt"]);
    expect(expand("*/*.log")).toEqual(["sub/d.log"]);
    expect(expand(".*")).toEqual([".hidden"]);
    expect(expand("x\\[1\\]")).toEqual(["x[1]"]);
    expect(expand("[z-a]*")).toEqual([]);
    expect(expand("nothing*")).toEqual([]);
    expect(expandGlob(path(`${scratch.path}/*`), 2).length).toBe(2);
  });

  test("knows what has something to be expanded", () => {
    expect(["*", "a?", "[x"].every((text) => hasWildcard(path(text)))).toBe(true);
    expect(hasWildcard(path("/plain/path"))).toBe(false);
  });
});
