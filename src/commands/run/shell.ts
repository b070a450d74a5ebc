/** `vsockbox shell`: an interactive shell in the guest. */
import { commandSettings, commandDirectory } from "./exec-request.ts";
import { settingsArguments, userArgument } from "./exec-arguments.ts";
import { agentArguments, targetArgument, agentTarget } from "../shared/target.ts";
import { runOnTerminal } from "../shared/remote-terminal.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "shell",
  group: "Run commands",
  summary: "Open a login shell in a guest",
  args: {
    ...targetArgument,
    ...settingsArguments,
    user: userArgument.user,
    ...agentArguments,
  },
  examples: [
    {
      command: "vsockbox shell 3",
      explanation: "In the VM with CID 3; `~.` ends it, `~?` lists the escapes",
    },
    {
      command: "vsockbox shell hybrid:/run/vm4.vsock --user build",
      explanation: "In a Firecracker or Cloud Hypervisor VM, as the user build",
    },
  ],
  run: (args) =>
    runOnTerminal(agentTarget(args, args.target), {
      program: { kind: "login-shell" },
      workingDir: commandDirectory(args),
      env: commandSettings(args),
      user: args.user,
      sandbox: undefined,
      tty: undefined,
      input: true,
    }),
});
