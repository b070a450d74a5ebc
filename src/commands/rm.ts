/** `vsockbox rm`: removes files of a guest. */
import { field } from "../protocols/agent/json-fields.ts";
import type { Command } from "../ui/command.ts";
import { printJson } from "../ui/report.ts";
import { jsonArgument } from "./common.ts";
import { forEachPath, pathsArgument } from "./file-command.ts";
import { agentArguments } from "./target.ts";

export const command: Command = {
  name: "rm",
  description: "Remove files and directories of a guest",
  args: {
    ...pathsArgument,
    recursive: { type: "boolean", alias: "r", description: "Directories with all in them" },
    force: { type: "boolean", alias: "f", description: "No error for what is not there" },
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox rm 3:/tmp/app.tar", explanation: "A file" },
    { command: "vsockbox rm -rf web:/srv/old", explanation: "A tree, if it is there" },
  ],
  run: (args) =>
    forEachPath("rm", args, async (client, path, shown) => {
      const recursive = args.flag("recursive");
      const result = await client.request({
        op: "remove",
        path,
        recursive,
        force: args.flag("force"),
      });
      if (args.flag("json")) printJson({ path: shown, removed: field(result, "removed") });
    }),
};
