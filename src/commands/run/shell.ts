/** `vsockbox shell`: an interactive shell in the guest. */
import { commandSettings, commandDirectory } from "./exec-request.ts";
import type { Command } from "../../ui/command.ts";
import { agentArguments, agentTarget } from "../shared/target.ts";
import { runOnTerminal } from "../shared/remote-terminal.ts";

export const command: Command = {
  name: "shell",
  description: "Open the login shell of a user of a guest, on your terminal",
  args: {
    target: { type: "positional", required: true, description: "The agent's address" },
    user: {
      type: "string",
      alias: "u",
      valueHint: "USER",
      description: "As uid, uid:gid or a name of the guest",
    },
    env: {
      type: "string",
      alias: "e",
      valueHint: "NAME=VALUE",
      repeatable: true,
      description: "Set a variable; NAME alone passes on your own value",
    },
    cwd: { type: "string", alias: "w", valueHint: "DIR", description: "Begin in this directory" },
    ...agentArguments,
  },
  examples: [
    {
      command: "vsockbox shell 3",
      explanation: "In the VM with CID 3; `~.` leaves it, `~?` helps",
    },
    {
      command: "vsockbox shell hybrid:/run/vm4.vsock --user build",
      explanation: "In a Firecracker or Cloud Hypervisor VM, as the user build",
    },
  ],
  run: (args) =>
    runOnTerminal(agentTarget(args, args.required("target")), {
      program: { kind: "login-shell" },
      workingDir: commandDirectory(args),
      env: commandSettings(args),
      user: args.string("user"),
      sandbox: undefined,
      tty: undefined,
      input: true,
    }),
};
