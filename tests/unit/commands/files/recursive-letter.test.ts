import { expect, test } from "bun:test";
import { withRecursiveLetter } from "../../../../src/commands/files/recursive-letter.ts";

test("-R is -r, alone or among other letters, before --", () => {
  expect(withRecursiveLetter(["-R", "-Rp", "-pR", "R", "--R", "./-R", "-", "--", "-R"])).toEqual([
    "-r",
    "-rp",
    "-pr",
    "R",
    "--R",
    "./-R",
    "-",
    "--",
    "-R",
  ]);
  expect(withRecursiveLetter(["-R"])).toEqual(["-r"]);
});
