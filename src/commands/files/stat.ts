/** `vsockbox stat`: the facts of a guest's files. */
import { numberField, textField } from "../../protocols/agent/json-fields.ts";
import type { Command } from "../../ui/command.ts";
import { print, printJson } from "../../ui/report.ts";
import { formatBytes } from "../../text/units.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { forEachPath, pathsArgument } from "./file-command.ts";
import { fileTime, linkTarget, modeLetters } from "./file-lines.ts";
import { agentArguments } from "../shared/target.ts";

export const command: Command = {
  name: "stat",
  description: "Show size, mode, owner and time of a guest's files",
  args: {
    ...pathsArgument,
    follow: { type: "boolean", alias: "L", description: "Of what a symbolic link leads to" },
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox stat 3:/etc/passwd", explanation: "For people" },
    { command: "vsockbox stat --json -L 3:/etc/localtime", explanation: "For programs" },
  ],
  run: (args) =>
    forEachPath("stat", args, async (client, path, shown) => {
      const facts = await client.request({ op: "stat", path, follow: args.flag("follow") });
      if (args.flag("json")) return printJson({ path: shown, ...facts });
      const size = numberField(facts, "size");
      print(`${shown}${linkTarget(facts)}`);
      print(`  ${textField(facts, "type")}, ${size} bytes (${formatBytes(size)})`);
      print(`  ${modeLetters(facts)}, owner ${textField(facts, "uid")}:${textField(facts, "gid")}`);
      print(`  modified ${fileTime(facts)}`);
    }),
};
