/** `vsockbox completion`: the completion script of a shell. */
import { operand } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { completionScript, SHELLS } from "../../ui/completion.ts";
import { printStyled } from "../../ui/report.ts";
import { choice } from "../../ui/value-kind.ts";
import { loadCommands } from "../index.ts";

export const command = defineCommand({
  name: "completion",
  group: "Images and installation",
  summary: "Print the completion script of a shell",
  args: {
    shell: operand(choice(SHELLS), { valueName: "SHELL", summary: "bash, zsh or fish" }),
  },
  examples: [
    {
      command: 'eval "$(vsockbox completion bash)"',
      explanation: "In ~/.bashrc: complete commands and options",
    },
    {
      command: "vsockbox completion zsh > ~/.zfunc/_vsockbox",
      explanation: "In a directory of zsh's $fpath",
    },
  ],
  async run({ shell }) {
    printStyled(completionScript(shell, await loadCommands()).trimEnd());
    return 0;
  },
});
