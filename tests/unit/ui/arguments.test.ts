import { describe, expect, test } from "bun:test";
import { command as connect } from "../../../src/commands/bytes/connect.ts";
import { command as exec } from "../../../src/commands/run/exec.ts";
import { command as shellClient } from "../../../src/commands/peers/shell-client.ts";
import { command as kill } from "../../../src/commands/run/kill.ts";
import { COMMANDS } from "../../../src/commands/index.ts";
import { parseArguments } from "../../../src/ui/arguments.ts";
import { parseDuration, parseInteger } from "../../../src/text/quantities.ts";

describe("parseArguments", () => {
  test("options of the remote command stay its own, with and without --", () => {
    for (const words of [
      ["3", "--", "ls", "-la", "--json"],
      ["3", "ls", "-la", "--json"],
    ]) {
      const args = parseArguments(exec, words);
      expect([args.string("target"), args.flag("json")]).toEqual(["3", false]);
      expect(args.rest).toEqual(["ls", "-la", "--json"]);
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
    expect(parseArguments(connect, ["3", "--", "22"]).string("port")).toBe("22");
    expect(() => parseArguments(connect, ["3", "22", "x"])).toThrow('unexpected argument "x"');
    expect(() => parseArguments(connect, ["3", "--", "22", "x"])).toThrow(
      'unexpected argument "x"',
    );
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
});

describe("-- ends options", () => {
  const commands = COMMANDS.map(({ name, load }) => ({ name, load }));

  test.each(commands)("of $name", async ({ load }) => {
    const { command } = await load();
    const positionals = Object.entries(command.args).filter(
      ([, { type }]) => type === "positional",
    );
    const words = positionals.map((_, index) => `--word-${index}`);
    const behind = command.restName === undefined ? [] : ["--rest", "-x", "--"];
    const args = parseArguments(command, ["--", ...words, ...behind]);
    positionals.forEach(([name, { repeatable }], index) => {
      const value = repeatable ? args.list(name) : args.string(name);
      expect(value).toEqual(repeatable ? words.slice(index) : (words[index] ?? ""));
    });
    expect(args.rest).toEqual(behind);
    // Before it a word of this kind is an option, and unknown.
    expect(() => parseArguments(command, ["--word-0"])).toThrow("unknown option --word-0");
    if (positionals.at(-1)?.[1].repeatable === true || command.restName !== undefined) return;
    expect(() => parseArguments(command, ["--", ...words, "-x"])).toThrow(
      'unexpected argument "-x"',
    );
  });

  test("fills no positional that an option replaces", () => {
    const withTarget = parseArguments(shellClient, ["--", "unix:/s", "ls", "-l"]);
    expect([withTarget.string("target"), withTarget.rest]).toEqual(["unix:/s", ["ls", "-l"]]);
    const withCid = parseArguments(shellClient, ["--cid", "3", "--", "grep", "--", "-x"]);
    expect([withCid.string("target"), withCid.rest]).toEqual([undefined, ["grep", "--", "-x"]]);
  });

  test("once more in front of a remote command is none of its words", () => {
    for (const words of [
      ["--", "3", "--", "ls", "-l"],
      ["--", "3", "ls", "-l"],
      ["3", "--", "ls", "-l"],
    ]) {
      const args = parseArguments(exec, words);
      expect([args.string("target"), args.rest]).toEqual(["3", ["ls", "-l"]]);
    }
    expect(parseArguments(exec, ["3", "--", "--", "-l"]).rest).toEqual(["--", "-l"]);
    expect(parseArguments(exec, ["--json", "--", "3", "--json"]).rest).toEqual(["--json"]);
  });
});

describe("empty operands", () => {
  const commands = COMMANDS.map(({ name, load }) => ({ name, load }));

  test.each(commands)("are refused by $name", async ({ load }) => {
    const { command } = await load();
    const positionals = Object.entries(command.args).filter(
      ([, { type }]) => type === "positional",
    );
    for (const [index, [name, spec]] of positionals.entries()) {
      // The C program that guest-exec stands in for has a default for an empty word.
      if (spec.mayBeEmpty === true) continue;
      const words = positionals.map((_, place) => (place === index ? "" : "x"));
      expect(() => parseArguments(command, words)).toThrow(`${name.toUpperCase()} is empty`);
    }
  });
});

describe("kill", () => {
  test.each([
    [["-9", "3", "id"], "9"],
    [["3", "-9", "id"], "9"],
    [["3", "id", "-KILL"], "KILL"],
    [["-SIGHUP", "3", "id"], "SIGHUP"],
    [["-s", "15", "3", "id"], "15"],
    [["3", "id"], undefined],
    [["-s", "9", "--", "3", "id"], "9"],
  ])("%j sends %p", (words, signal) => {
    const args = parseArguments(kill, words);
    expect([args.string("target"), args.list("ids")]).toEqual(["3", ["id"]]);
    expect(args.string("signal")).toBe(signal);
  });

  test("a signal behind -- is an id, a CID is no signal, and one signal is enough", () => {
    expect(parseArguments(kill, ["3", "--", "-9"]).list("ids")).toEqual(["-9"]);
    expect(parseArguments(kill, ["-1:5000", "id"]).string("target")).toBe("-1:5000");
    expect(() => parseArguments(kill, ["-9", "-HUP", "3", "id"])).toThrow(
      "--signal is given twice",
    );
  });
});
