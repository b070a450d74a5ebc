/** `vsockbox cat`: files of a guest on standard output. */
import { AgentClient } from "../agent/agent-client.ts";
import { OldAgentError } from "../agent/hello-client.ts";
import { readOldFile } from "../agent/client/go-files.ts";
import { rawWords } from "../process/raw-arguments.ts";
import { isBrokenPipe, StandardOutput } from "../process/stdio.ts";
import type { Command } from "../ui/command.ts";
import { agentArguments, agentTarget, remoteOperand } from "./target.ts";

export const command: Command = {
  name: "cat",
  description: "Print files of a guest",
  args: {
    paths: {
      type: "positional",
      required: true,
      repeatable: true,
      description: "TARGET:PATH, one or more",
    },
    ...agentArguments,
  },
  examples: [
    { command: "vsockbox cat 3:/etc/os-release", explanation: "One file" },
    { command: "vsockbox cat 3:/var/log/a 3:/var/log/b", explanation: "One behind the other" },
  ],
  async run(args) {
    const output = new StandardOutput(1);
    try {
      for (const word of rawWords(args.list("paths"))) {
        const { target, path } = remoteOperand("cat", word);
        const { address, options } = agentTarget(args, target);
        try {
          await using client = await AgentClient.connect(address, options);
          for await (const bytes of client.read(path)) await output.write(bytes);
        } catch (thrown) {
          if (!(thrown instanceof OldAgentError)) throw thrown;
          await output.write(await readOldFile(address, options, path));
        }
      }
      return 0;
    } catch (thrown) {
      if (isBrokenPipe(thrown)) return 141;
      throw thrown;
    }
  },
};
