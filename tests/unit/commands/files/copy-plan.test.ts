import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { filesOf, localFiles } from "../../../../src/commands/files/copy-plan.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

test("the files of a local source", () => {
  using scratch = new ScratchDirectory();
  mkdirSync(scratch.file("d/e"), { recursive: true });
  writeFileSync(scratch.file("d/e/x"), "");
  writeFileSync(scratch.file("d/a"), "");
  symlinkSync("nowhere", scratch.file("d/l"));
  symlinkSync("d", scratch.file("link"));
  const paths = (name: string, isRecursive = true) =>
    localFiles(Buffer.from(scratch.file(name)), isRecursive).map(String);
  expect(paths("d")).toEqual(["a", "e/x", "l"]);
  expect(paths("link")).toEqual(["a", "e/x", "l"]);
  expect(paths("d/a", false)).toEqual([""]);
  expect(() => paths("d", false)).toThrow("it is a directory");
  expect(() => paths("none")).toThrow("no such file");
  expect(() => localFiles(Buffer.from("/dev/null"), true)).toThrow("not a regular file");
});

test("files and links of a tree are copied, in the order of their bytes", () => {
  const entry = { size: 0, mode: 0, mtimeMs: 0, target: undefined };
  const tree = new Map([
    ["b", { ...entry, type: "file" as const }],
    ["a", { ...entry, type: "directory" as const }],
    ["a/l", { ...entry, type: "link" as const }],
    ["a/p", { ...entry, type: "fifo" as const }],
  ]);
  expect(filesOf(tree).map(String)).toEqual(["a/l", "b"]);
});
