/** `vsockbox man`: manual pages. */
import { operands } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { commandPage, overviewPage } from "../../ui/man-page.ts";
import { printStyled } from "../../ui/report.ts";
import { usageError } from "../../ui/usage-error.ts";
import { word } from "../../ui/value-kind.ts";
import { VERSION } from "../../version.ts";
import { loadCommands } from "../index.ts";

export const command = defineCommand({
  name: "man",
  group: "Images and installation",
  summary: "Print the manual page of a command, for man -l",
  args: {
    command: operands(word("COMMAND"), {
      optional: true,
      valueName: "COMMAND",
      defaultText: "the list of all commands",
      summary: "The command",
    }),
  },
  examples: [
    { command: "vsockbox man exec | man -l -", explanation: "Read the page of exec" },
    {
      command: "vsockbox man hybrid-proxy status > vsockbox-hybrid-proxy-status.1",
      explanation: "Write a page for a package",
    },
  ],
  async run({ command: words }) {
    const commands = await loadCommands();
    const name = words.join(" ");
    const found = commands.find((candidate) => candidate.name === name);
    if (found === undefined && name !== "") {
      const hint = "`vsockbox --help` lists the commands";
      throw usageError(command, `unknown command ${JSON.stringify(name)}`, hint);
    }
    const page =
      found === undefined ? overviewPage(commands, VERSION) : commandPage(found, VERSION);
    printStyled(page.trimEnd());
    return 0;
  },
});
