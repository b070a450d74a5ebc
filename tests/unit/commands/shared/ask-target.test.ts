import { expect, test } from "bun:test";
import { command as forward } from "../../../../src/commands/bytes/forward.ts";
import { command as exec } from "../../../../src/commands/run/exec.ts";
import { command as shell } from "../../../../src/commands/run/shell.ts";
import {
  beforeColons,
  lacksTarget,
  withAskedTarget,
} from "../../../../src/commands/shared/ask-target.ts";

test.each([
  [shell, [], true],
  [shell, ["-u", "web"], true],
  [shell, ["3"], false],
  [shell, ["--wrong"], false],
  [exec, ["--", "uname", "-a"], true],
  [exec, ["--shell", "ls"], true],
  [exec, ["--", "3", "ls"], false],
  [exec, ["3", "--", "ls"], false],
  [forward, ["-L", "1:localhost:2"], true],
])("%p lacks the target alone with %j: %p", (command, words, expected) => {
  const saved = { ...process.env };
  process.env["VSOCKBOX_TARGET"] = "";
  process.env["XDG_CONFIG_HOME"] = "/nowhere";
  try {
    expect(lacksTarget(words, command)).toBe(expected);
  } finally {
    process.env = saved;
  }
});

test("nothing is asked if the target is there", async () => {
  expect(await withAskedTarget(["3"], shell)).toEqual(["3"]);
});

test("the target of cp comes before paths that begin with a colon", () => {
  expect(beforeColons(["-r", "a", ":/tmp", "b:c"], "web")).toEqual(["-r", "a", "web:/tmp", "b:c"]);
});
