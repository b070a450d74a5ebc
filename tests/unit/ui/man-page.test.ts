import { describe, expect, test } from "bun:test";
import { loadCommands } from "../../../src/commands/index.ts";
import { flag, operand } from "../../../src/ui/argument.ts";
import { defineCommand } from "../../../src/ui/command-definition.ts";
import { commandPage, overviewPage } from "../../../src/ui/man-page.ts";
import { word } from "../../../src/ui/value-kind.ts";

const commands = await loadCommands();

const sample = defineCommand({
  name: "two words",
  group: "Files",
  summary: "Do a thing",
  args: {
    path: operand(word("PATH"), { summary: "A path" }),
    dryRun: flag({ short: "x", summary: ".begins with a dot and has a \\" }),
  },
  examples: [{ command: "vsockbox two words --dry-run", explanation: "An example" }],
  run: () => Promise.resolve(0),
});

describe("a manual page", () => {
  test("has the sections of a command, with everything that roff would read escaped", () => {
    expect(commandPage(sample, "1.2.3").split("\n")).toEqual([
      '.TH VSOCKBOX\\-TWO\\-WORDS 1 "" "vsockbox 1.2.3"',
      ".SH NAME",
      "vsockbox\\-two\\-words \\- Do a thing",
      ".SH SYNOPSIS",
      "vsockbox two words [OPTIONS] PATH",
      ".SH ARGUMENTS",
      ".TP",
      "\\fBPATH\\fR",
      "A path",
      ".SH OPTIONS",
      ".TP",
      "\\fB\\-x\\fR, \\fB\\-\\-dry\\-run\\fR",
      "\\&.begins with a dot and has a \\e",
      ".TP",
      "\\fB\\-h\\fR, \\fB\\-\\-help\\fR",
      "Print this help",
      ".SH EXAMPLES",
      ".TP",
      "\\fBvsockbox two words \\-\\-dry\\-run\\fR",
      "An example",
      ".SH SEE ALSO",
      "\\fBvsockbox\\fR(1)",
      "",
    ]);
  });

  test("of vsockbox lists every command", () => {
    const page = overviewPage(commands, "1.2.3");
    for (const { name } of commands) {
      expect(page).toContain(`\n\\fB${name.replaceAll("-", "\\-")}\\fR\n`);
    }
    expect(page.match(/^\.SH /gm)).toHaveLength(3 + 7);
  });

  const roff = ["groff", "mandoc"].find((program) => Bun.which(program) !== null);

  test.if(roff !== undefined)("is rendered without a warning", () => {
    for (const page of [
      ...commands.map((command) => commandPage(command, "1")),
      overviewPage(commands, "1"),
    ]) {
      const words =
        roff === "groff"
          ? ["groff", "-man", "-Tascii", "-P-cbou", "-ww", "-Wbreak"]
          : ["mandoc", "-T", "utf8"];
      const { stdout, stderr, exitCode } = Bun.spawnSync(words, { stdin: Buffer.from(page) });
      expect([stderr.toString(), exitCode]).toEqual(["", 0]);
      expect(stdout.toString()).toContain("SYNOPSIS");
    }
  });
});
