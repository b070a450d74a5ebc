/** `vsockbox shutdown`: ends a guest whose init is the agent. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import type { Command } from "../../ui/command.ts";
import { agentArguments, agentTarget } from "../shared/target.ts";

export const command: Command = {
  name: "shutdown",
  description: "Power off or reboot a guest whose init is `vsockbox agent --init`",
  args: {
    target: { type: "positional", required: true, description: "The agent's address" },
    reboot: { type: "boolean", description: "Start it again" },
    ...agentArguments,
  },
  examples: [
    {
      command: "vsockbox shutdown 3",
      explanation: "Ends all processes in order, then the machine",
    },
    { command: "vsockbox shutdown 3 --reboot", explanation: "Starts it again" },
  ],
  async run(args) {
    const { address, options } = agentTarget(args, args.required("target"));
    await using client = await AgentClient.connect(address, options);
    await client.request({ op: "power", action: args.flag("reboot") ? "reboot" : "poweroff" });
    return 0;
  },
};
