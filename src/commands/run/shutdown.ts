/** `vsockbox shutdown`: ends a guest whose init is the agent. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { agentArguments, targetArgument, agentTarget } from "../shared/target.ts";
import { flag } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "shutdown",
  group: "Run commands",
  summary: "Power off or reboot a guest whose init is the agent",
  args: {
    ...targetArgument,
    reboot: flag({ summary: "Reboot instead of powering off" }),
    ...agentArguments,
  },
  examples: [
    {
      command: "vsockbox shutdown 3",
      explanation: "Ends all processes in order, then the VM",
    },
    { command: "vsockbox shutdown 3 --reboot", explanation: "Starts it again" },
  ],
  async run(args) {
    const { address, options } = agentTarget(args, args.target);
    await using client = await AgentClient.connect(address, options);
    await client.request({ op: "power", action: args.reboot ? "reboot" : "poweroff" });
    return 0;
  },
});
