/** `vsockbox mkdir`: makes directories in a guest. */
import { forEachPath, pathsArgument } from "./file-command.ts";
import { agentArguments } from "../shared/target.ts";
import { flag, option } from "../../ui/argument.ts";
import type { ValueKind } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

/** Permission bits, in octal. */
const MODE: ValueKind<number> = {
  valueName: "MODE",
  expected: "up to four octal digits such as 755",
  parse: (given) => (/^[0-7]{1,4}$/.test(given) ? Number.parseInt(given, 8) : undefined),
  format: (mode) => mode.toString(8),
};

export const command = defineCommand({
  name: "mkdir",
  group: "Files",
  summary: "Create directories in a guest",
  args: {
    ...pathsArgument,
    parents: flag({
      summary: "Create missing parent directories; succeed if the directory exists",
    }),
    mode: option(MODE, { short: "m", summary: "Permission bits" }),
    ...agentArguments,
  },
  examples: [
    { command: "vsockbox mkdir --parents 3:/srv/app/data", explanation: "With its parents" },
    { command: "vsockbox mkdir -m 700 3:/root/keys", explanation: "Only for its owner" },
  ],
  run(args) {
    const { mode, parents } = args;
    return forEachPath("mkdir", args, async (client, path) => {
      await client.request({ op: "mkdir", path, parents, mode });
    });
  },
});
