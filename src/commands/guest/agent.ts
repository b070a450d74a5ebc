/** `vsockbox agent`: the service in the guest. */
import { agentServiceArguments } from "./agent-arguments.ts";
import { runAgent } from "./agent-run.ts";
import { runService } from "../shared/service.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "agent",
  group: "Guest services",
  summary: "Serve commands, terminals, files and ports to the host",
  args: agentServiceArguments,
  conflicts: { quiet: ["verbose"], json: ["daemon"] },
  examples: [
    {
      command: "vsockbox agent",
      explanation: "In a guest: ports 5000 and 5002, for the host (CID 2) alone",
    },
    {
      command: "vsockbox agent --allow-cid 2,16",
      explanation: "Also for the sibling VM with CID 16",
    },
    {
      command: "vsockbox agent --sandbox all --idle-timeout 1h --daemon --log-file /var/log/agent",
      explanation: "For untrusted commands, in the background",
    },
    {
      command: "vsockbox agent --listen unix:/run/agent.sock --ready-listen unix:/run/ready.sock",
      explanation: "Without vsock, in a container or for a trial",
    },
    {
      command: "init=/usr/bin/vsockbox -- agent --init",
      explanation: "On the guest's kernel command line: no other init is needed",
    },
  ],
  run: (args) => runService("agent", args, () => runAgent(args)),
});
