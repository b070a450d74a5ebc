/** `vsockbox ping`: is the agent there, how fast does it answer, and how far is its clock off. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { abortError, delay, onAbort } from "../../io/deadline.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { print, printJson } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { readAddress } from "../shared/address-kind.ts";
import { inEachTarget } from "../shared/each-target.ts";
import { agentArguments, agentTarget, shownTarget } from "../shared/target.ts";
import { splitTargets, targetListArgument } from "../shared/target-list.ts";
import { type ArgumentValues, option } from "../../ui/argument.ts";
import { DURATION, integer } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { countOf } from "../../text/count.ts";

const ARGUMENTS = {
  ...targetListArgument,
  count: option(integer(0, 1_000_000_000), {
    default: 4,
    summary: "Number of pings; 0: until Ctrl-C",
  }),
  interval: option(DURATION, {
    default: 1000,
    summary: "Pause between two pings",
  }),
  ...agentArguments,
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "ping",
  group: "Diagnostics",
  summary: "Measure an agent's round trip and clock",
  args: ARGUMENTS,
  examples: [
    { command: "vsockbox ping 3", explanation: "Four times, a second apart" },
    { command: "vsockbox ping 3,4,web --count 1", explanation: "Several guests at once" },
    {
      command: "vsockbox ping 3 --count 1000 --interval 0 --json",
      explanation: "As fast as it answers",
    },
  ],
  async run(args) {
    const names = splitTargets("ping", args.target);
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status ??= statusOfSignal(signal);
      interrupt.abort();
    });
    const ping = async (name: string) => {
      const times = await pingTarget(args, name, names.length > 1, interrupt.signal);
      return times === 0 ? (status ?? 0) : 0;
    };
    const { json } = args;
    return await (names.length > 1 ? inEachTarget(names, ping, { json }) : ping(names[0]));
  },
});

/**
 * Pings one agent and prints the times.
 *
 * @param isOneOfSeveral whether each line names the target.
 * @returns the number of answers.
 */
async function pingTarget(
  args: Values,
  name: string,
  isOneOfSeveral: boolean,
  signal: AbortSignal,
): Promise<number> {
  const { count, interval: pauseMs } = args;
  const target = agentTarget(args, readAddress(name), signal);
  const connecting = AgentClient.connect(target.address, target.options);
  await using client = await connecting.catch((thrown: unknown) => {
    if (!signal.aborted) throw thrown;
    return undefined;
  });
  if (client === undefined) return 0;
  const common = isOneOfSeveral ? { target: name } : {};
  const shown = isOneOfSeveral ? name : shownTarget(target);
  const times: number[] = [];
  let offset = 0;
  const last = count === 0 ? Infinity : count;
  for (let number = 1; number <= last && !signal.aborted; number++) {
    // Of an agent that has stopped there is neither an answer nor the end of the connection.
    using _abort = onAbort(signal, () => client.abort(abortError(signal, "ping")));
    const pong = await client.ping().catch((thrown: unknown) => {
      if (signal.aborted) return undefined;
      throw thrown;
    });
    if (pong === undefined) break;
    const { roundTripMs, clockOffsetMs } = pong;
    times.push(roundTripMs);
    offset = clockOffsetMs;
    const round = Math.round(roundTripMs * 1000) / 1000;
    const off = Math.round(clockOffsetMs);
    if (args.json) printJson({ ...common, number, round_trip_ms: round, clock_offset_ms: off });
    else print(`${shown}: ${number}: ${round} ms, clock ${off >= 0 ? "+" : ""}${off} ms`);
    if (number !== count) await delay(pauseMs, signal).catch(() => undefined);
  }
  if (times.length === 0) return 0;
  const summary = { ...summaryOf(times), clock_offset_ms: Math.round(offset) };
  if (args.json) printJson({ ...common, summary });
  else {
    const prefix = isOneOfSeveral ? `${name}: ` : "";
    print(
      `${prefix}${countOf(times.length, "round trip")}: min ${summary.min_ms}, median ${summary.median_ms}, p99 ${summary.p99_ms}, max ${summary.max_ms} ms`,
    );
  }
  return times.length;
}

/** Returns the distribution of round trips, in milliseconds. */
function summaryOf(times: readonly number[]) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) =>
    Math.round(
      (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0) * 1000,
    ) / 1000;
  return {
    count: times.length,
    min_ms: at(0),
    median_ms: at(0.5),
    p99_ms: at(0.99),
    max_ms: at(1),
  };
}
