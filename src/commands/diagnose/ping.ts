/** `vsockbox ping`: is the agent there, how fast does it answer, and how far is its clock off. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { abortError, delay, onAbort } from "../../io/deadline.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { print, printJson } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { agentArguments, targetArgument, agentTarget, shownTarget } from "../shared/target.ts";
import { option } from "../../ui/argument.ts";
import { DURATION, integer } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { countOf } from "../../text/count.ts";

export const command = defineCommand({
  name: "ping",
  group: "Diagnostics",
  summary: "Measure an agent's round trip and clock",
  args: {
    ...targetArgument,
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
  },
  examples: [
    { command: "vsockbox ping 3", explanation: "Four times, a second apart" },
    {
      command: "vsockbox ping 3 --count 1000 --interval 0 --json",
      explanation: "As fast as it answers",
    },
  ],
  async run(args) {
    const { count, interval: pauseMs } = args;
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status ??= statusOfSignal(signal);
      interrupt.abort();
    });
    const target = agentTarget(args, args.target, interrupt.signal);
    const connecting = AgentClient.connect(target.address, target.options);
    await using client = await connecting.catch((thrown: unknown) => {
      if (status === undefined) throw thrown;
      return undefined;
    });
    if (client === undefined) return status ?? 0;
    const shown = shownTarget(target);
    const times: number[] = [];
    let offset = 0;
    const last = count === 0 ? Infinity : count;
    for (let number = 1; number <= last && !interrupt.signal.aborted; number++) {
      // Of an agent that has stopped there is neither an answer nor the end of the connection.
      using _abort = onAbort(interrupt.signal, () =>
        client.abort(abortError(interrupt.signal, "ping")),
      );
      const pong = await client.ping().catch((thrown: unknown) => {
        if (interrupt.signal.aborted) return undefined;
        throw thrown;
      });
      if (pong === undefined) break;
      const { roundTripMs, clockOffsetMs } = pong;
      times.push(roundTripMs);
      offset = clockOffsetMs;
      const round = Math.round(roundTripMs * 1000) / 1000;
      const off = Math.round(clockOffsetMs);
      if (args.json) printJson({ number, round_trip_ms: round, clock_offset_ms: off });
      else print(`${shown}: ${number}: ${round} ms, clock ${off >= 0 ? "+" : ""}${off} ms`);
      if (number !== count) await delay(pauseMs, interrupt.signal).catch(() => undefined);
    }
    if (times.length === 0) return status ?? 0;
    const sorted = times.toSorted((a, b) => a - b);
    const at = (part: number) =>
      Math.round(
        (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0) * 1000,
      ) / 1000;
    const summary = {
      count: times.length,
      min_ms: at(0),
      median_ms: at(0.5),
      p99_ms: at(0.99),
      max_ms: at(1),
      clock_offset_ms: Math.round(offset),
    };
    if (args.json) printJson({ summary });
    else {
      print(
        `${countOf(times.length, "round trip")}: min ${summary.min_ms}, median ${summary.median_ms}, p99 ${summary.p99_ms}, max ${summary.max_ms} ms`,
      );
    }
    return 0;
  },
});
