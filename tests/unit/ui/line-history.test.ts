import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { LineHistory } from "../../../src/ui/line-history.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

let scratch: ScratchDirectory;
const before = process.env["XDG_STATE_HOME"];
beforeEach(() => {
  scratch = new ScratchDirectory();
  process.env["XDG_STATE_HOME"] = scratch.path;
});
afterEach(() => {
  if (before === undefined) delete process.env["XDG_STATE_HOME"];
  else process.env["XDG_STATE_HOME"] = before;
  scratch[Symbol.dispose]();
});

test("comes back, newest first, in a file of the user's own", () => {
  const first = new LineHistory("h");
  for (const line of ["one", "two", "two", "", " secret", "three"]) first.add(line);
  expect(new LineHistory("h").newestFirst).toEqual(["three", "two", "one"]);
  const file = scratch.file("vsockbox/h");
  expect((statSync(file).mode & 0o777).toString(8)).toBe("600");
});

test("does not grow without end", () => {
  mkdirSync(scratch.file("vsockbox"));
  const file = scratch.file("vsockbox/h");
  writeFileSync(file, Array.from({ length: 2500 }, (_, index) => `line ${index}\n`).join(""));
  expect(new LineHistory("h").newestFirst[0]).toBe("line 2499");
  expect(readFileSync(file, "utf8").split("\n").length).toBe(1001);
});

test("is empty, without an error, if nothing can be kept", () => {
  process.env["XDG_STATE_HOME"] = scratch.file("file");
  writeFileSync(scratch.file("file"), "");
  chmodSync(scratch.file("file"), 0o400);
  const history = new LineHistory("h");
  history.add("line");
  expect(history.newestFirst).toEqual(["line"]);
});
