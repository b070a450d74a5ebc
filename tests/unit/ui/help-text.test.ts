import { describe, expect, test } from "bun:test";
import { loadCommands } from "../../../src/commands/index.ts";
import { commandLine, flag, list, operand, option } from "../../../src/ui/argument.ts";
import { COMMAND_GROUPS, defineCommand } from "../../../src/ui/command-definition.ts";
import { commandHelp, groupHelp, overview } from "../../../src/ui/help-text.ts";
import { usageLine } from "../../../src/ui/usage-line.ts";
import { DURATION, FILE, word } from "../../../src/ui/value-kind.ts";

const commands = await loadCommands();
const plain = (columns: number) => ({ columns, hasColor: false });

const sample = defineCommand({
  name: "sample",
  group: "Diagnostics",
  summary: "Do something with a target",
  args: {
    target: operand(word("TARGET"), { summary: "The agent's address" }),
    quiet: flag({ short: "q", summary: "Print nothing" }),
    timeout: option(DURATION, {
      default: 10_000,
      summary: "Stop after this long, if it is longer",
    }),
    tag: list(word("TAG"), { short: "t", summary: "A tag" }),
    output: option(FILE, { short: "o", required: true, summary: "The file", heading: "Files" }),
    rest: commandLine({ valueName: "COMMAND [ARG...]", summary: "The command" }),
  },
  examples: [{ command: "vsockbox sample 3", explanation: "An example" }],
  run: () => Promise.resolve(0),
});

describe("the help of a command", () => {
  test("has operands, options by heading, defaults and examples", () => {
    expect(commandHelp(sample, plain(80))).toBe(`Do something with a target

Usage: vsockbox sample [OPTIONS] -o FILE TARGET -- COMMAND [ARG...]

Arguments:
  TARGET            The agent's address
  COMMAND [ARG...]  The command

Options:
  -q, --quiet         Print nothing
      --timeout TIME  Stop after this long, if it is longer (default: 10s)
  -t, --tag TAG       A tag (repeatable)
  -h, --help          Print this help

Files:
  -o, --output FILE  The file

Examples:
  vsockbox sample 3
      An example
`);
  });

  test("has each description on lines of its own at 40 columns, unless all fit", () => {
    expect(commandHelp(sample, plain(40))).toBe(`Do something with a target

Usage: vsockbox sample [OPTIONS] -o FILE
    TARGET -- COMMAND [ARG...]

Arguments:
  TARGET            The agent's address
  COMMAND [ARG...]  The command

Options:
  -q, --quiet
        Print nothing
      --timeout TIME
        Stop after this long, if it is
        longer (default: 10s)
  -t, --tag TAG
        A tag (repeatable)
  -h, --help
        Print this help

Files:
  -o, --output FILE  The file

Examples:
  vsockbox sample 3
      An example
`);
  });

  test("has bold headings on a terminal", () => {
    const text = commandHelp(sample, { columns: 80, hasColor: true });
    expect(text).toContain("\u001B[1mOptions:\u001B[0m");
    expect(text).toContain("\u001B[1mUsage:\u001B[0m vsockbox");
    expect(Bun.stripANSI(text)).toBe(commandHelp(sample, plain(80)));
  });

  test.each(commands.map((command) => ({ name: command.name, command })))(
    "$name keeps to the width, but for its examples and words that are longer",
    ({ command }) => {
      for (const columns of [40, 60, 80, 100]) {
        const [options = ""] = commandHelp(command, plain(columns)).split("\nExamples:\n");
        for (const line of options.split("\n")) {
          if (line.trim().split(" ").length <= 3) continue;
          expect([columns, line, line.length <= columns]).toEqual([columns, line, true]);
        }
      }
    },
  );
});

test("the help of a group lists its commands, and no other", () => {
  expect(groupHelp("bench", commands, plain(80))).toBe(
    [
      "Usage: vsockbox bench COMMAND [OPTIONS]",
      "",
      "Commands:",
      "  bench serve  Serve the measurements of bench run",
      "  bench run    Measure throughput, latency and connects to bench serve",
      "",
      "`vsockbox bench COMMAND --help` prints the help of one.",
      "",
    ].join("\n"),
  );
});

describe("the overview", () => {
  test("has every group and command, one line each at 80 columns", () => {
    const text = overview(commands, "1.2.3", plain(80));
    const headings = [...text.matchAll(/^([A-Z][A-Za-z ]+):$/gm)].map(
      ([, heading = ""]) => heading,
    );
    expect(headings).toEqual([...COMMAND_GROUPS, "Options"]);
    for (const { name, summary } of commands)
      expect(text).toMatch(`\n  ${name.padEnd(20)}  ${summary}\n`);
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });

  test("is readable at 40 columns", () => {
    const text = overview(commands, "1.2.3", plain(40));
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(40);
    expect(text).toContain("\n  exec\n        Run a command in a guest\n");
  });
});

test.each([
  ["cp", "vsockbox cp [OPTIONS] SRC... DST"],
  ["exec", "vsockbox exec [OPTIONS] TARGET -- COMMAND [ARG...]"],
  ["connect", "vsockbox connect [OPTIONS] ADDRESS [PORT]"],
  ["initramfs", "vsockbox initramfs [OPTIONS] -o FILE [-- ARG...]"],
  ["ls", "vsockbox ls [OPTIONS] TARGET:PATH..."],
  ["export", "vsockbox export [OPTIONS] DIR..."],
  ["export status", "vsockbox export status [OPTIONS] [PATH...]"],
  ["mv", "vsockbox mv [OPTIONS] TARGET:SRC... TARGET:DST"],
  ["mount", "vsockbox mount [OPTIONS] [SOURCE] DIR"],
  ["hybrid-proxy status", "vsockbox hybrid-proxy status [OPTIONS] [PATH...]"],
  ["shell-client", "vsockbox shell-client [OPTIONS] [TARGET] [COMMAND [ARG...]]"],
])("the usage line of %s is what a person types", (name, line) => {
  const command = commands.find((candidate) => candidate.name === name);
  expect(command === undefined ? undefined : usageLine(command)).toBe(line);
});
