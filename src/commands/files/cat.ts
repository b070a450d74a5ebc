/** `vsockbox cat`: files of a guest on standard output. */
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { resolveHome } from "../../agent/client/home-path.ts";
import { mayUseGoFrames } from "../../agent/client/handshake.ts";
import { StandardOutput } from "../../io/stdio.ts";
import { readAddress } from "../shared/address-kind.ts";
import { receiveArguments } from "../shared/connect-options.ts";
import { expandOperand } from "./expand-pattern.ts";
import { pathsArgument, remotePaths } from "./file-command.ts";
import { AgentClients, forEachOperand } from "../shared/operands.ts";
import { agentArguments, agentTarget } from "../shared/target.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "cat",
  group: "Files",
  summary: "Print files in a guest",
  args: {
    ...pathsArgument,
    maxSize: receiveArguments.maxSize,
    ...agentArguments,
  },
  examples: [
    { command: "vsockbox cat 3:/etc/os-release", explanation: "One file" },
    { command: "vsockbox cat 3:/var/log/a 3:/var/log/b", explanation: "One after the other" },
    {
      command: "vsockbox cat '3:/sys/class/net/*/address'",
      explanation: "The guest expands the pattern; quote it from your own shell",
    },
  ],
  async run(args) {
    const output = new StandardOutput(1);
    const operands = remotePaths("cat", args.paths);
    const maximum = args.maxSize;
    let printed = 0;
    await using clients = new AgentClients(args);
    const print = async (client: AgentClient, path: Uint8Array) => {
      const maxBytes = maximum === undefined ? undefined : maximum - printed;
      for await (const bytes of client.read(path, { maxBytes })) {
        printed += bytes.length;
        await output.write(bytes);
      }
    };
    return await forEachOperand(operands, async (operand) => {
      const { target, path } = operand;
      try {
        const client = await clients.get(target);
        const files = await expandOperand(client, operand);
        return await forEachOperand(files, (file) => print(client, file.path));
      } catch (thrown) {
        const { address, options } = agentTarget(args, readAddress(target));
        if (!mayUseGoFrames(thrown, options)) throw thrown;
        const { readOldFile } = await import("../../agent/client/go-files.ts");
        await output.write(await readOldFile(address, options, await resolveHome(undefined, path)));
        return 0;
      }
    });
  },
});
