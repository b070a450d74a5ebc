import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { LineHistory } from "../../../src/ui/line-history.ts";
import { TemporaryFolder } from "../../support/folder.ts";

let folder: TemporaryFolder;
const before = process.env["XDG_STATE_HOME"];
beforeEach(() => {
  folder = new TemporaryFolder();
  process.env["XDG_STATE_HOME"] = folder.path;
});
afterEach(() => {
  if (before === undefined) delete process.env["XDG_STATE_HOME"];
  else process.env["XDG_STATE_HOME"] = before;
  folder[Symbol.dispose]();
});

test("comes back, newest first, in a file of the user's own", () => {
  const first = new LineHistory("h");
  for (const line of ["one", "two", "two", "", " secret", "three"]) first.add(line);
  expect(new LineHistory("h").newestFirst).toEqual(["three", "two", "one"]);
  const file = folder.file("vsockbox/h");
  expect((statSync(file).mode & 0o777).toString(8)).toBe("600");
});

test("does not grow without end", () => {
  mkdirSync(folder.file("vsockbox"));
  const file = folder.file("vsockbox/h");
  writeFileSync(file, Array.from({ length: 2500 }, (_, index) => `line ${index}\n`).join(""));
  expect(new LineHistory("h").newestFirst[0]).toBe("line 2499");
  expect(readFileSync(file, "utf8").split("\n").length).toBe(1001);
});

test("is empty, and no error, where nothing can be kept", () => {
  process.env["XDG_STATE_HOME"] = folder.file("file");
  writeFileSync(folder.file("file"), "");
  chmodSync(folder.file("file"), 0o400);
  const history = new LineHistory("h");
  history.add("line");
  expect(history.newestFirst).toEqual(["line"]);
});
