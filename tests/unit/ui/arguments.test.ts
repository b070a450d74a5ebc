import { describe, expect, test } from "bun:test";
import { command as connect } from "../../../src/commands/connect.ts";
import { command as exec } from "../../../src/commands/exec.ts";
import { COMMANDS } from "../../../src/commands/index.ts";
import { closest, parseArguments, parseDuration, parseInteger } from "../../../src/ui/arguments.ts";

describe("parseArguments", () => {
  test("options of the remote command stay its own, with and without --", () => {
    for (const words of [
      ["3", "--", "ls", "-la", "--json"],
      ["3", "ls", "-la", "--json"],
    ]) {
      const args = parseArguments(exec, words);
      expect([args.string("target"), args.flag("json")]).toEqual(["3", false]);
      expect(args.rest).toEqual(["ls", "-la", "--json"]);
      expect(words.slice(args.restIndex)).toEqual([...args.rest]);
    }
  });

  test("our options work on both sides of the target", () => {
    const args = parseArguments(exec, ["--json", "3", "-e", "A=1", "-eB=2", "--env=C", "-n", "ls"]);
    expect([args.flag("json"), args.flag("no-stdin")]).toEqual([true, true]);
    expect(args.list("env")).toEqual(["A=1", "B=2", "C"]);
    expect(args.rest).toEqual(["ls"]);
  });

  test.each([
    [["--bogus", "3"], "unknown option --bogus"],
    [["--jsn", "3"], "did you mean --json?"],
    [["--cwd"], "--cwd"],
    [[], "TARGET is missing"],
    [["--cwd", "/", "--cwd", "/x", "3"], "--cwd is given twice"],
    [["--json=yes", "3"], "--json"],
  ])("refuses %j", (words, message) => {
    expect(() => parseArguments(exec, words)).toThrow(message);
  });

  test("refuses words too many where no command is taken", () => {
    expect(() => parseArguments(connect, ["3", "22", "x"])).toThrow('unexpected argument "x"');
    expect(() => parseArguments(connect, ["3", "--", "x"])).toThrow('unexpected argument "x"');
  });
});

describe("words that begin with a dash and a digit", () => {
  test("are CIDs, not options", () => {
    expect(parseArguments(connect, ["-1:1024"]).string("address")).toBe("-1:1024");
    expect(
      parseArguments(connect, ["--connect-timeout", "-1", "3"]).string("connect-timeout"),
    ).toBe("-1");
    expect(parseArguments(connect, ["\uE000x"]).string("address")).toBe("\uE000x");
  });
});

describe("command definitions", () => {
  test.each(COMMANDS.map(({ name, load, description }) => ({ name, load, description })))(
    "$name is what the overview says of it, and has examples",
    async ({ name, load, description }) => {
      const { command } = await load();
      expect([command.name, command.description]).toEqual([name, description]);
      expect(command.examples.length).toBeGreaterThan(0);
    },
  );
});

describe("values", () => {
  test("durations", () => {
    expect(["10", "1.5", "500ms", "2m", "1h", "0"].map((text) => parseDuration(text, "t"))).toEqual(
      [10_000, 1500, 500, 120_000, 3_600_000, 0],
    );
    for (const text of ["", "x", "-1", "1d", "1e3", "99999h"]) {
      expect(() => parseDuration(text, "timeout")).toThrow("--timeout");
    }
  });

  test("integers", () => {
    expect(parseInteger("65535", "port", 0, 65535)).toBe(65535);
    for (const text of ["", "-1", "65536", "1.0", "0x1"]) {
      expect(() => parseInteger(text, "port", 0, 65535)).toThrow("from 0 to 65535");
    }
  });

  test("the closest word is near or begins the same", () => {
    expect(closest("exce", ["exec", "wait"])).toBe("exec");
    expect(closest("conn", ["connect", "cid"])).toBe("connect");
    expect(closest("zzz", ["exec", "cid"])).toBeUndefined();
  });
});
