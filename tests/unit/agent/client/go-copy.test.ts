/** Copies of whole files: options that the frames cannot carry, and local files. */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { assertWholeFile, readLocalFile } from "../../../../src/agent/client/go-copy.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

describe("options of a transfer", () => {
  test.each([
    "recursive",
    "preserve",
    "preserveOwner",
    "resume",
    "checksum",
    "keep",
    "exclusive",
  ] as const)("%s is refused with its name", (name) => {
    expect(() => assertWholeFile({ [name]: true })).toThrow(
      expect.objectContaining({
        code: "UNAVAILABLE",
        errno: "EOPNOTSUPP",
        message: expect.stringContaining(`the option ${name}`),
      }),
    );
    expect(() => assertWholeFile({ [name]: false })).not.toThrow();
  });

  test("limits, progress and synchronisation are not", () => {
    expect(() => assertWholeFile({ maxBytes: 1, sync: true, onProgress: () => 0 })).not.toThrow();
  });
});

describe("a local file", () => {
  test("has its bytes and its permission bits", () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("file");
    writeFileSync(path, "bytes");
    chmodSync(path, 0o4751);
    const { content, mode } = readLocalFile(Buffer.from(path));
    expect([Buffer.from(content).toString(), mode]).toEqual(["bytes", 0o751]);
  });

  test("that cannot be read is an error with its path", () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("directory"));
    for (const [name, errno] of [
      ["directory", "EISDIR"],
      ["missing", "ENOENT"],
    ] as const) {
      expect(() => readLocalFile(Buffer.from(scratch.file(name)))).toThrow(
        expect.objectContaining({ code: "IO", errno, address: scratch.file(name) }),
      );
    }
  });
});
