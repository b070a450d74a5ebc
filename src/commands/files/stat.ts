/** `vsockbox stat`: the facts of a guest's files. */
import { fileJson } from "../shared/json-shapes.ts";
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { numberField, textField } from "../../protocols/agent/json-fields.ts";
import { print, printJson } from "../../ui/report.ts";
import { formatBytes } from "../../text/units.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { forEachPath, pathsArgument } from "./file-command.ts";
import { fileTime, linkTarget, modeLetters } from "./file-lines.ts";
import { agentArguments } from "../shared/target.ts";
import { flag } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { countOf } from "../../text/count.ts";

export const command = defineCommand({
  name: "stat",
  group: "Files",
  summary: "Show size, mode, owner and time of files in a guest",
  args: {
    ...pathsArgument,
    dereference: flag({ summary: "Show the file that a symbolic link leads to" }),
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox stat 3:/etc/passwd", explanation: "For people" },
    { command: "vsockbox stat --json --dereference 3:/etc/localtime", explanation: "For programs" },
  ],
  run: (args) => {
    const show = async (client: AgentClient, path: Uint8Array, shown: string) => {
      const facts = await client.request({ op: "stat", path, follow: args.dereference });
      if (args.json) return printJson(fileJson(facts, { path: shown }));
      const size = numberField(facts, "size");
      print(`${shown}${linkTarget(facts)}`);
      print(`  ${textField(facts, "type")}, ${countOf(size, "byte")} (${formatBytes(size)})`);
      print(`  ${modeLetters(facts)}, owner ${textField(facts, "uid")}:${textField(facts, "gid")}`);
      print(`  modified ${fileTime(facts)}`);
    };
    return forEachPath("stat", args, show, { expands: true });
  },
});
