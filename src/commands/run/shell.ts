/** `vsockbox shell`: an interactive shell in the guest. */
import { commandSettings, commandDirectory } from "./exec-request.ts";
import { settingsArguments, userArgument } from "./exec-arguments.ts";
import { TARGET_DEFAULT, useDefaultTarget } from "../../config/default-target.ts";
import { agentArguments, agentTarget, askForTarget } from "../shared/target.ts";
import { commonUser, namesTargets, splitUser, type UserTarget } from "../shared/target-list.ts";
import { readAddress } from "../shared/address-kind.ts";
import { operand } from "../../ui/argument.ts";
import type { ValueKind } from "../../ui/value-kind.ts";
import { runOnTerminal } from "../shared/remote-terminal.ts";
import { defineCommand } from "../../ui/command-definition.ts";

/** An address, with the user in front of it if there is one. */
const USER_ADDRESS: ValueKind<UserTarget & { text: string }> = {
  valueName: "TARGET",
  expected: "an address such as 3, build@3 or hybrid:/run/vm.vsock",
  parse(text) {
    const parsed = splitUser(text);
    // Its errors are more precise.
    readAddress(parsed.target);
    return { ...parsed, text };
  },
  format: ({ text }) => text,
};

export const command = defineCommand({
  name: "shell",
  group: "Run commands",
  summary: "Open a login shell in a guest",
  args: {
    target: operand(USER_ADDRESS, {
      summary: "The agent's address, or the name of a profile; USER@ in front is --user",
      defaultText: TARGET_DEFAULT,
      fallback: { accepts: namesTargets, word: useDefaultTarget },
    }),
    ...settingsArguments,
    user: userArgument.user,
    ...agentArguments,
  },
  examples: [
    {
      command: "vsockbox shell 3",
      explanation: "In the VM with CID 3; `~.` ends it, `~?` lists the escapes",
    },
    { command: "vsockbox shell build@3", explanation: "As the user build of the guest" },
    {
      command: "vsockbox shell hybrid:/run/vm4.vsock --user build",
      explanation: "In a Firecracker or Cloud Hypervisor VM, as the user build",
    },
  ],
  ask: askForTarget,
  run: (args) =>
    runOnTerminal(agentTarget(args, readAddress(args.target.target)), {
      program: { kind: "login-shell" },
      workingDir: commandDirectory(args),
      env: commandSettings(args),
      user: commonUser("shell", args.user, [args.target]),
      sandbox: undefined,
      tty: undefined,
      input: true,
    }),
});
