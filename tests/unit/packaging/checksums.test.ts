/** The format of `sha256sum -c`. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { checksumLines, writeWhole } from "../../../packaging/release/checksums.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

test("lines are sorted by name, in the order of bytes, without directories", () => {
  const files = ["dist/b.zst", "dist/b", "/x/LICENSE", "a"].map((path, index) => ({
    path,
    sha256: `${index}`.repeat(64),
  }));
  expect(checksumLines(files)).toBe(
    [
      ["2", "LICENSE"],
      ["3", "a"],
      ["1", "b"],
      ["0", "b.zst"],
    ]
      .map(([digit = "", name]) => `${digit.repeat(64)}  ${name}\n`)
      .join(""),
  );
});

test("a text replaces another one, and leaves nothing beside it", () => {
  using scratch = new ScratchDirectory();
  for (const text of ["first and longer", "second"]) writeWhole(scratch.path, "SUMS", text);
  expect(readFileSync(scratch.file("SUMS"), "utf8")).toBe("second");
  expect(readdirSync(scratch.path)).toEqual(["SUMS"]);
});
