/** `vsockbox mkdir`: makes directories in a guest. */
import { VsockboxError } from "../../errors.ts";
import type { Command } from "../../ui/command.ts";
import { forEachPath, pathsArgument } from "./file-command.ts";
import { agentArguments } from "../shared/target.ts";

export const command: Command = {
  name: "mkdir",
  description: "Make directories in a guest",
  args: {
    ...pathsArgument,
    parents: {
      type: "boolean",
      alias: "p",
      description: "With those above; no error where it is there",
    },
    mode: { type: "string", alias: "m", valueHint: "OCTAL", description: "Permission bits" },
    ...agentArguments,
  },
  examples: [
    { command: "vsockbox mkdir -p 3:/srv/app/data", explanation: "With its parents" },
    { command: "vsockbox mkdir -m 700 3:/root/keys", explanation: "For its owner alone" },
  ],
  run(args) {
    const mode = octal(args.string("mode"));
    return forEachPath("mkdir", args, async (client, path) => {
      await client.request({ op: "mkdir", path, parents: args.flag("parents"), mode });
    });
  },
};

function octal(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  throw new VsockboxError({
    code: "USAGE",
    operation: "read --mode",
    address: JSON.stringify(text),
    message: "it is no octal mode",
    hint: "write up to four octal digits, as in --mode 755",
  });
}
