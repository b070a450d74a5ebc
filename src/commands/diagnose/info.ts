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
import { readAddress } from "../shared/address-kind.ts";
import { inEachTarget } from "../shared/each-target.ts";
import { agentArguments, agentTarget, type AgentValues } from "../shared/target.ts";
import { splitTargets, targetListArgument } from "../shared/target-list.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { countOf } from "../../text/count.ts";

export const command = defineCommand({
  name: "info",
  group: "Diagnostics",
  summary: "Show an agent's version, kernel, load and memory",
  args: {
    ...targetListArgument,
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox info 3", explanation: "For people" },
    { command: "vsockbox info web --json", explanation: "For programs" },
    { command: "vsockbox info 3,4,web", explanation: "Of several guests" },
  ],
  async run(args) {
    const names = splitTargets("info", args.target);
    const { json } = args;
    const show = async (name: string) => {
      const info = await readInfo(args, name);
      if (names.length > 1) {
        if (json) printJson({ target: name, info: infoJson(info) });
        else for (const line of [`${name}:`, ...lines(info).map((own) => `  ${own}`)]) print(line);
      } else if (json) printJson(infoJson(info));
      else for (const line of lines(info)) print(line);
      return 0;
    };
    return names.length > 1 ? inEachTarget(names, show, { json }) : show(names[0]);
  },
});

async function readInfo(args: AgentValues, name: string): Promise<JsonObject> {
  const { address, options } = agentTarget(args, readAddress(name));
  await using client = await AgentClient.connect(address, options);
  return await client.request({ op: "info" });
}

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
