/** `vsockbox cat`: files of a guest on standard output. */
import { resolveHome } from "../../agent/client/home-path.ts";
import { mayUseGoFrames } from "../../agent/client/handshake.ts";
import { readOldFile } from "../../agent/client/go-files.ts";
import { StandardOutput } from "../../io/stdio.ts";
import { readAddress } from "../shared/address-kind.ts";
import { receiveArguments } from "../shared/connect-options.ts";
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
  ],
  async run(args) {
    const output = new StandardOutput(1);
    const operands = remotePaths("cat", args.paths);
    const maximum = args.maxSize;
    let printed = 0;
    await using clients = new AgentClients(args);
    return await forEachOperand(operands, async ({ target, path }) => {
      try {
        const client = await clients.get(target);
        const maxBytes = maximum === undefined ? undefined : maximum - printed;
        const resolved = await resolveHome(client, path);
        for await (const bytes of client.read(resolved, { maxBytes })) {
          printed += bytes.length;
          await output.write(bytes);
        }
      } catch (thrown) {
        const { address, options } = agentTarget(args, readAddress(target));
        if (!mayUseGoFrames(thrown, options)) throw thrown;
        await output.write(await readOldFile(address, options, await resolveHome(undefined, path)));
      }
    });
  },
});
