import { describe, expect, test } from "bun:test";
import { command as connect } from "../../../src/commands/bytes/connect.ts";
import { COMMANDS } from "../../../src/commands/index.ts";
import { command as shellClient } from "../../../src/commands/peers/shell-client.ts";
import { command as exec } from "../../../src/commands/run/exec.ts";
import { command as kill } from "../../../src/commands/run/kill.ts";
import {
  type Arguments,
  commandLine,
  flag,
  kebabCase,
  list,
  operand,
  operands,
  option,
  shownName,
} from "../../../src/ui/argument.ts";
import { defineCommand } from "../../../src/ui/command-definition.ts";
import { asksFor } from "../../../src/ui/parse-words.ts";
import { DURATION, integer, word } from "../../../src/ui/value-kind.ts";

/** A command with one argument of each type. */
const sample = defineCommand({
  name: "sample",
  group: "Diagnostics",
  summary: "Do nothing",
  args: {
    target: operand(word("TARGET"), { summary: "Where" }),
    count: operand(integer(1, 9), { default: 4, summary: "How often" }),
    timeout: option(DURATION, { short: "t", default: 1500, summary: "How long" }),
    logFile: option(word("FILE"), { summary: "A file" }),
    tag: list(word("TAG"), { short: "g", summary: "A word" }),
    quiet: flag({ short: "q", summary: "No messages" }),
    json: flag({ short: "j", summary: "JSON" }),
  },
  conflicts: { quiet: ["json", "logFile"], count: ["tag"] },
  requires: { logFile: ["tag", "json"] },
  examples: [],
  run: ({ count, quiet }) => Promise.resolve(quiet ? 0 : count),
});

describe("the values of a command line", () => {
  test("have the types of their arguments, and their defaults", () => {
    expect(sample.parse(["3"])).toEqual({
      target: "3",
      count: 4,
      timeout: 1500,
      logFile: undefined,
      tag: [],
      quiet: false,
      json: false,
    });
  });

  test("come from long and short options, on both sides of the operands", () => {
    const words = ["-jg", "a", "--timeout=2m", "3", "-gb", "5", "--log-file", "x", "--tag", "c"];
    expect(() => sample.parse(words)).toThrow("COUNT cannot be used with --tag");
    expect(sample.parse(words.filter((given) => given !== "5"))).toEqual({
      target: "3",
      count: 4,
      timeout: 120_000,
      logFile: "x",
      tag: ["a", "b", "c"],
      quiet: false,
      json: true,
    });
  });

  test("reach run", async () => {
    expect(await sample.run(["3", "7"])).toBe(7);
    expect(await sample.run(["3", "-q"])).toBe(0);
  });
});

test.each([
  ["SRC... DST", "SRC"],
  ["TARGET:PATH...", "TARGET:PATH"],
  ["[SOURCE] DIR", "DIR"],
])(
  "an operand shown as %s is missing by the name of its first required word",
  (valueName, name) => {
    const args = { places: operands(word("PLACE"), { valueName, summary: "Where" }) };
    const command = { ...sample, args, name: "sample", conflicts: {}, requires: {} };
    const defined = defineCommand({ ...command, run: () => Promise.resolve(0) });
    expect(() => defined.parse([])).toThrow(`sample: ${name} is missing`);
  },
);

describe("a wrong command line", () => {
  test.each([
    [["3", "--timeout", "abc"], 'invalid value "abc" for --timeout: expected a duration such as'],
    [["3", "--timeout", "30d"], 'invalid value "30d" for --timeout: expected a duration such as'],
    [["3", "--timeout", "720h"], 'invalid value "720h" for --timeout: expected at most 596h'],
    [["3", "12"], 'invalid value "12" for COUNT: expected a whole number from 1 to 9'],
    [
      ["3", "--json", "--log-file="],
      'invalid value "" for --log-file: expected a text that is not empty',
    ],
    [["3", "--bogus"], "sample: unknown option --bogus"],
    [["3", "--jsn"], "unknown option --jsn; did you mean --json?"],
    [["3", "-l"], "unknown option -l; did you mean --log-file?"],
    [["3", "-J"], "unknown option -J; did you mean --json?"],
    [["3", "-x"], "unknown option -x"],
    [["3", "--timeout"], "--timeout needs a value"],
    [["3", "--timeout", "-q"], "a value that begins with a dash is written --timeout=VALUE"],
    [["3", "--timeout", "1", "-t2"], "--timeout is given twice"],
    [["3", "--json=yes"], "--json does not accept a value"],
    [[], "TARGET is missing"],
    [[""], "TARGET is empty"],
    [["3", "4", "5"], 'unexpected argument "5"'],
    [["3", "-q", "-j"], "--quiet cannot be used with --json"],
    [["3", "--log-file", "x", "-q", "-j"], "--quiet cannot be used with --json"],
    [["3", "--log-file", "x"], "--log-file requires --tag or --json"],
  ])("%j is refused", (words, message) => {
    expect(() => sample.parse(words)).toThrow(message);
  });

  test("has the usage line, or the list of options, as its hint, and status 64", () => {
    expect(() => sample.parse([])).toThrow(
      expect.objectContaining({
        exitStatus: 64,
        hint: "usage: vsockbox sample [OPTIONS] TARGET [COUNT]",
      }) as Error,
    );
    expect(() => sample.parse(["-x"])).toThrow(
      expect.objectContaining({ hint: "`vsockbox sample --help` lists the options" }) as Error,
    );
  });
});

describe("words that begin with a dash", () => {
  test("and a digit are CIDs, not options", () => {
    expect(connect.parse(["-1:1024"]).address.text).toBe("-1:1024");
    expect(() => sample.parse(["3", "--timeout", "-1"])).toThrow('invalid value "-1"');
    expect(sample.parse(["\uE000x"]).target).toBe("\uE000x");
  });

  test("are the values of an option after =", () => {
    expect(sample.parse(["3", "--tag=-x", "-g-y"]).tag).toEqual(["-x", "-y"]);
    expect(sample.parse(["3", "--tag", "-"]).tag).toEqual(["-"]);
  });
});

describe("the command line of another program", () => {
  test("keeps its options, with and without --", () => {
    for (const words of [
      ["3", "--", "ls", "-la", "--json"],
      ["3", "ls", "-la", "--json"],
    ]) {
      const args = exec.parse(words);
      expect([args.target, args.json, args.words]).toEqual(["3", false, ["ls", "-la", "--json"]]);
    }
  });

  test("follows options on both sides of the operand", () => {
    const args = exec.parse(["--json", "3", "-e", "A=1", "-eB=2", "--env=C", "-n", "ls"]);
    expect([args.json, args.noStdin]).toEqual([true, true]);
    expect([args.env, args.words]).toEqual([["A=1", "B=2", "C"], ["ls"]]);
  });

  test("loses a second -- only in front of its first word", () => {
    for (const words of [
      ["--", "3", "--", "ls", "-l"],
      ["--", "3", "ls", "-l"],
      ["3", "--", "ls", "-l"],
    ]) {
      const args = exec.parse(words);
      expect([args.target, args.words]).toEqual(["3", ["ls", "-l"]]);
    }
    expect(exec.parse(["3", "--", "--", "-l"]).words).toEqual(["--", "-l"]);
    expect(exec.parse(["--json", "--", "3", "--json"]).words).toEqual(["--json"]);
  });

  test("begins after an operand that no option replaces", () => {
    const withTarget = shellClient.parse(["--", "unix:/s", "ls", "-l"]);
    expect([withTarget.target, withTarget.words]).toEqual(["unix:/s", ["ls", "-l"]]);
    const withCid = shellClient.parse(["--cid", "3", "--", "grep", "--", "-x"]);
    expect([withCid.target, withCid.words]).toEqual([undefined, ["grep", "--", "-x"]]);
  });

  test("may ask for its own help", () => {
    expect(asksFor(exec, ["3", "ls", "--help"], "--help", "-h")).toBe(false);
    expect(asksFor(exec, ["3", "--", "--help"], "--help", "-h")).toBe(false);
    expect(asksFor(exec, ["3", "--help", "ls"], "--help", "-h")).toBe(true);
    expect(asksFor(exec, ["-h"], "--help", "-h")).toBe(true);
    expect(asksFor(exec, ["--bogus", "-h"], "--help", "-h")).toBe(true);
    expect(asksFor(exec, ["3", "-n"], "--help", "-h")).toBe(false);
  });
});

test("words too many are refused if there is no other program's command line", () => {
  expect(connect.parse(["3", "--", "22"]).port).toBe(22);
  expect(() => connect.parse(["3", "22", "x"])).toThrow('unexpected argument "x"');
  expect(() => connect.parse(["3", "--", "22", "x"])).toThrow('unexpected argument "x"');
});

describe("kill", () => {
  test.each([
    [["-9", "3", "id"], 9],
    [["3", "-9", "id"], 9],
    [["3", "id", "-KILL"], 9],
    [["-SIGHUP", "3", "id"], 1],
    [["-s", "15", "3", "id"], 15],
    [["3", "id"], undefined],
    [["-s", "9", "--", "3", "id"], 9],
  ])("%j sends %p", (words, signal) => {
    const args = kill.parse(words);
    expect([args.target.text, args.ids]).toEqual(["3", ["id"]]);
    expect(args.signal).toBe(signal);
  });

  test("a signal after -- is an id, a CID is not a signal, and one signal is enough", () => {
    expect(kill.parse(["3", "--", "-9"]).ids).toEqual(["-9"]);
    expect(kill.parse(["-1:5000", "id"]).target.text).toBe("-1:5000");
    expect(() => kill.parse(["-9", "-HUP", "3", "id"])).toThrow("--signal is given twice");
    expect(() => kill.parse(["-s", "NONSENSE", "3", "id"])).toThrow(
      'invalid value "NONSENSE" for --signal: expected a signal such as',
    );
  });
});

/** Operands of a command, in their order. */
function operandsOf(args: Arguments) {
  return Object.entries(args).filter(([, { type }]) => type === "operand");
}

/** The text of an address; any other value itself. */
const textOf = (value: unknown): unknown =>
  typeof value === "object" && value !== null && "text" in value ? value.text : value;

describe("every command", () => {
  const commands = COMMANDS.map(({ name, load }) => ({ name, load }));

  test.each(commands)("$name has its name, a summary in one line and examples", async (entry) => {
    const { command } = await entry.load();
    expect(command.name).toBe(entry.name);
    expect(command.summary).toMatch(/^[A-Z][^\n]{10,54}[^.\n]$/);
    expect(command.examples.length).toBeGreaterThan(0);
  });

  test.each(commands)("$name reads a word after -- as an operand", async ({ load }) => {
    const { command } = await load();
    const given = operandsOf(command.args);
    const words = given.map(([, { choices }], index) => choices?.[0] ?? `unix:--w${index}`);
    const line = Object.entries(command.args).find(([, { type }]) => type === "command-line");
    const rest = line === undefined ? [] : ["--rest", "-x", "--"];
    const values = ["-o", "x"].filter(() => command.args["output"]?.isRequired === true);
    const numbers = given.filter(([name]) => name === "port").length;
    if (numbers === 0) {
      const args = command.parse([...values, "--", ...words, ...rest]);
      for (const [index, [name, { isRepeatable }]] of given.entries()) {
        const value = args[name];
        const shown = isRepeatable ? words.slice(index) : words[index];
        expect(isRepeatable ? (value as unknown[]).map(textOf) : textOf(value)).toEqual(shown);
      }
      if (line !== undefined) expect(args[line[0]]).toEqual(rest);
    }
    expect(() => command.parse(["--word-0"])).toThrow("unknown option --word-0");
  });

  test.each(commands)("$name refuses empty operands", async ({ load }) => {
    const { command } = await load();
    const given = operandsOf(command.args);
    for (const [index, [name, argument]] of given.entries()) {
      // The C program that guest-exec stands in for has a default for an empty word.
      if (argument.mayBeEmpty) continue;
      const words = given.map((_, place) => (place === index ? "" : "x"));
      expect(() => command.parse(words)).toThrow(`${shownName(name, argument)} is empty`);
    }
  });

  test.each(commands)("$name refuses an unknown value of a choice", async ({ load }) => {
    const { command } = await load();
    for (const [name, { choices }] of Object.entries(command.args)) {
      if (choices === undefined) continue;
      const long = `--${kebabCase(name)}`;
      expect(() => command.args[name]?.read(["bogus"], long)).toThrow(
        `invalid value "bogus" for ${long}: expected ${choices[0]}`,
      );
    }
  });
});

test("several operands may be left out if they are optional", () => {
  const command = defineCommand({
    ...sample,
    args: { paths: operands(word("PATH"), { optional: true, summary: "Paths" }) },
    conflicts: {},
    requires: {},
    run: ({ paths }) => Promise.resolve(paths.length),
  });
  expect(command.parse([])).toEqual({ paths: [] });
  expect(command.parse(["a", "--", "-b"])).toEqual({ paths: ["a", "-b"] });
});

describe("what stands for a missing first operand", () => {
  let usual: string | undefined;
  const fallback = { accepts: (text: string) => text === "known", word: () => usual };
  const target = operand(word("TARGET"), { summary: "Where", fallback });
  const common = {
    group: "Diagnostics",
    summary: "Do nothing",
    examples: [],
    run: () => Promise.resolve(0),
  } as const;
  const one = defineCommand({ ...common, name: "one", args: { target } });
  const two = defineCommand({
    ...common,
    name: "two",
    args: { target, ids: operands(word("ID"), { valueName: "ID...", summary: "Which" }) },
  });
  const run = defineCommand({
    ...common,
    name: "run",
    args: { target, words: commandLine({ valueName: "COMMAND", summary: "What" }) },
  });

  test("is used if there are fewer words than operands", () => {
    usual = "usual";
    expect(one.parse([])).toEqual({ target: "usual" });
    expect(one.parse(["given"])).toEqual({ target: "given" });
    expect(one.parse(["--", "given"])).toEqual({ target: "given" });
    expect(two.parse(["id"])).toEqual({ target: "usual", ids: ["id"] });
    expect(two.parse(["given", "id"])).toEqual({ target: "given", ids: ["id"] });
    expect(() => two.parse([])).toThrow("ID is missing");
  });

  test("is used before a program that is not accepted as the operand", () => {
    usual = "usual";
    expect(run.parse(["--", "ls", "-l"])).toEqual({ target: "usual", words: ["ls", "-l"] });
    expect(run.parse(["--", "known", "ls"])).toEqual({ target: "known", words: ["ls"] });
    expect(run.parse(["given", "--", "ls"])).toEqual({ target: "given", words: ["ls"] });
    expect(run.parse([])).toEqual({ target: "usual", words: [] });
  });

  test("is missing if there is none, and a program does not become the operand", () => {
    usual = undefined;
    expect(() => one.parse([])).toThrow("one: TARGET is missing");
    expect(() => two.parse(["id"])).toThrow("two: ID is missing");
    expect(() => run.parse(["--", "ls"])).toThrow("run: TARGET is missing");
    expect(run.parse(["--", "known", "ls"])).toEqual({ target: "known", words: ["ls"] });
  });
});
