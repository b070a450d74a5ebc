/** `vsockbox ping`: is the agent there, how fast does it answer, and how far is its clock off. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { abortError, delay, onAbort } from "../../io/deadline.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { parseDuration, parseInteger } from "../../text/quantities.ts";
import type { Command } from "../../ui/command.ts";
import { print, printJson } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { agentArguments, agentTarget, shownTarget } from "../shared/target.ts";

export const command: Command = {
  name: "ping",
  description: "Measure an agent's round trip and clock",
  args: {
    target: { type: "positional", required: true, description: "The agent's address" },
    count: {
      type: "string",
      alias: "c",
      valueHint: "COUNT",
      default: "4",
      description: "How often; 0: until Ctrl-C",
    },
    interval: {
      type: "string",
      alias: "i",
      valueHint: "TIME",
      default: "1",
      description: "Time between two",
    },
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox ping 3", explanation: "Four times, a second apart" },
    { command: "vsockbox ping 3 -c 1000 -i 0 --json", explanation: "As fast as it answers" },
  ],
  async run(args) {
    const count = parseInteger(args.required("count"), "count", 0, 1_000_000_000);
    const pauseMs = parseDuration(args.required("interval"), "interval");
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status ??= statusOfSignal(signal);
      interrupt.abort();
    });
    const target = agentTarget(args, args.required("target"), interrupt.signal);
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
      if (args.flag("json")) printJson({ number, round_trip_ms: round, clock_offset_ms: off });
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
    if (args.flag("json")) printJson({ summary });
    else {
      print(
        `${times.length} round trips: min ${summary.min_ms}, median ${summary.median_ms}, p99 ${summary.p99_ms}, max ${summary.max_ms} ms`,
      );
    }
    return 0;
  },
};
