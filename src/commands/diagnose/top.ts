/** `vsockbox top`: a live view of VMs and connections of hybrid-proxy, or of an agent's sessions. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { hasTerminal } from "../../process/has-terminal.ts";
import { type ArgumentValues, flag, list, operand, option } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { print, printJson } from "../../ui/report.ts";
import { obeysEscapes } from "../../ui/terminal-escapes.ts";
import { choice, durationOfAtLeast, word } from "../../ui/value-kind.ts";
import { ADDRESS } from "../shared/address-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { agentArguments, agentTarget } from "../shared/target.ts";
import { topJson } from "./top-json.ts";
import { watch } from "./top-live.ts";
import { SORT_ORDERS, type TopSample } from "./top-samples.ts";
import { sampleAgent, sampleDevices } from "./top-sources.ts";
import { topLines } from "./top-view.ts";

/** A shorter interval costs more than it shows, in milliseconds. */
const MIN_INTERVAL_MS = 100;

/** Width of output that is not a terminal, if COLUMNS does not name another one. */
const DEFAULT_COLUMNS = 120;

const ARGUMENTS = {
  target: operand(ADDRESS, {
    optional: true,
    summary: "An agent's address; without one the VMs of hybrid-proxy are shown",
  }),
  device: list(word("PATH"), {
    defaultText: "all VMs of yours",
    summary: "Show this VM of hybrid-proxy, by its --socket, --uds-path or control socket",
  }),
  interval: option(durationOfAtLeast(MIN_INTERVAL_MS), {
    default: 2000,
    summary: "Time between two samples",
  }),
  sort: option(choice(SORT_ORDERS), {
    default: "rate",
    summary: "Order: most traffic first, newest first, or by CID, port and id",
  }),
  once: flag({ summary: "Print one sample, with rates over one interval, and exit" }),
  ...agentArguments,
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "top",
  group: "Diagnostics",
  summary: "Watch the traffic of VMs, or of an agent's sessions",
  args: ARGUMENTS,
  conflicts: { target: ["device"] },
  examples: [
    { command: "vsockbox top", explanation: "All VMs of hybrid-proxy on this machine; q quits" },
    { command: "vsockbox top 3", explanation: "Connections and detached sessions of an agent" },
    {
      command: "vsockbox top --device $XDG_RUNTIME_DIR/vm3.vsock --once --sort age",
      explanation: "One VM, once",
    },
  ],
  async run(args) {
    if (args.target === undefined) return show(args, () => sampleDevices(args.device));
    const { address, options, name } = agentTarget(args, args.target);
    await using client = await AgentClient.connect(address, options);
    return await show(args, () => sampleAgent(client, name));
  },
});

async function show(args: Values, sample: () => Promise<TopSample>): Promise<number> {
  const { interval: intervalMs, sort: order } = args;
  const isLive = !args.once && !args.json && hasTerminal() && obeysEscapes(process.stdout);
  if (isLive) return watch({ sample, intervalMs, order });
  const previous = await sample();
  await Bun.sleep(intervalMs);
  const current = await sample();
  if (args.json) {
    for (const object of topJson(current, previous, order)) printJson(object);
    return 0;
  }
  const options = { columns: outputColumns(), rows: Infinity, order, hasKeys: false };
  for (const line of topLines(current, previous, options)) print(line);
  return 0;
}

function outputColumns(): number {
  const variable = Number(process.env["COLUMNS"] ?? "");
  return process.stdout.columns || (Number.isInteger(variable) && variable) || DEFAULT_COLUMNS;
}
