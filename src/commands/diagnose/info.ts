/** `vsockbox info`: facts of an agent and its guest. */
import { infoJson } from "../shared/json-shapes.ts";
import { AgentClient } from "../../agent/client/agent-client.ts";
import {
  field,
  type JsonObject,
  numberField,
  textField,
  textListField,
} from "../../protocols/agent/json-fields.ts";
import { print, printJson } from "../../ui/report.ts";
import { formatBytes, formatUptime } from "../../text/units.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { agentArguments, targetArgument, agentTarget } from "../shared/target.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { countOf } from "../../text/count.ts";

export const command = defineCommand({
  name: "info",
  group: "Diagnostics",
  summary: "Show an agent's version, kernel, load and memory",
  args: {
    ...targetArgument,
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox info 3", explanation: "For people" },
    { command: "vsockbox info web --json", explanation: "For programs" },
  ],
  async run(args) {
    const { address, options } = agentTarget(args, args.target);
    await using client = await AgentClient.connect(address, options);
    const info = await client.request({ op: "info" });
    if (args.json) printJson(infoJson(info));
    else for (const line of lines(info)) print(line);
    return 0;
  },
});

function lines(info: JsonObject): string[] {
  const machine = (field(info, "machine") ?? {}) as JsonObject;
  const memory = (field(machine, "memory") ?? {}) as JsonObject;
  const [text, number, list] = [textField, numberField, textListField];
  return [
    `agent     vsockbox ${text(info, "version")} (${text(info, "commit").slice(0, 12)}), ${text(info, "target")}`,
    `          up ${formatUptime(number(info, "uptime"))}, ${countOf(number(info, "sessions"), "session")}, ${text(info, "detached")} detached, ${formatBytes(number(info, "memory"))}`,
    ...buffersLine(info),
    `features  ${list(info, "features")?.join(" ") ?? "?"}`,
    `machine   ${text(machine, "hostname")}, Linux ${text(machine, "kernel")}, ${text(machine, "architecture")}, ${countOf(number(machine, "cpus"), "CPU")}`,
    `          up ${formatUptime(number(machine, "uptime"))}, load ${list(machine, "load")?.join(" ") ?? "?"}`,
    `memory    ${formatBytes(number(memory, "available"))} of ${formatBytes(number(memory, "total"))} available`,
  ];
}

/** None for an agent of version 0.1. */
function buffersLine(info: JsonObject): string[] {
  const buffers = field(info, "buffers");
  if (typeof buffers !== "object" || buffers === null) return [];
  const bytes = (name: string) => formatBytes(numberField(buffers, name));
  return [`buffers   ${bytes("used_bytes")} of ${bytes("limit_bytes")} in use`];
}
