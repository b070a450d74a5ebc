import { expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { assertDirectory } from "../../../src/files/local-directory.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

test("a directory is one, also through a link", () => {
  using scratch = new ScratchDirectory();
  symlinkSync(scratch.path, scratch.file("link"));
  expect(() => assertDirectory(scratch.path)).not.toThrow();
  expect(() => assertDirectory(Buffer.from(scratch.file("link")))).not.toThrow();
});

test("what is missing or something else is an error of reading, with the path", () => {
  using scratch = new ScratchDirectory();
  const file = scratch.file("file");
  writeFileSync(file, "");
  expect(() => assertDirectory(scratch.file("none"))).toThrow(
    expect.objectContaining({
      ...{ code: "IO", errno: "ENOENT", address: scratch.file("none") },
      message: `cannot open directory ${scratch.file("none")}: no such file or directory (ENOENT)`,
    }),
  );
  expect(() => assertDirectory(Buffer.from(file))).toThrow(
    `cannot open directory ${file}: not a directory (ENOTDIR)`,
  );
  expect(() => assertDirectory(`${file}/below`)).toThrow("(ENOTDIR)");
});
