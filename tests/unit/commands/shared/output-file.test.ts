import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { checkOutputFile, writeOutputFile } from "../../../../src/commands/shared/output-file.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const content = new TextEncoder().encode("content");

test("a file is written where its directory exists", async () => {
  using scratch = new ScratchDirectory();
  const path = scratch.file("file");
  checkOutputFile(path);
  checkOutputFile("relative");
  await writeOutputFile(path, content, 0o600);
  expect(readFileSync(path, "utf8")).toBe("content");
});

test("a missing directory is not made", async () => {
  using scratch = new ScratchDirectory();
  const path = scratch.file("none/file");
  const expected = expect.objectContaining({
    code: "CANNOT_CREATE",
    message: `cannot write ${path}: no such file or directory (ENOENT)`,
  }) as Error;
  expect(() => checkOutputFile(path)).toThrow(expected);
  await expect(writeOutputFile(path, content, 0o600)).rejects.toThrow(expected);
  expect(existsSync(scratch.file("none"))).toBe(false);
  writeFileSync(scratch.file("plain"), "");
  expect(() => checkOutputFile(scratch.file("plain/file"))).toThrow("(ENOTDIR)");
});

test("a path that cannot be a file is named", async () => {
  using scratch = new ScratchDirectory();
  mkdirSync(scratch.file("directory"));
  await expect(writeOutputFile(scratch.file("directory"), content, 0o600)).rejects.toThrow(
    expect.objectContaining({ code: "CANNOT_CREATE", errno: "EISDIR" }) as Error,
  );
});
