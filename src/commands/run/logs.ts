/** `vsockbox logs`: what a detached session wrote. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { SessionOutput } from "../../agent/client/session-output.ts";
import { commandLineError, VsockboxError } from "../../errors.ts";
import { StandardOutput } from "../../io/stdio.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { field } from "../../protocols/agent/json-fields.ts";
import { printJson } from "../../ui/report.ts";
import { offsetArgument, reportDropped } from "./attach.ts";
import { TimestampedLines } from "./timestamped-lines.ts";
import { forEachOperand } from "../shared/operands.ts";
import { agentArguments, usualTargetArgument, agentTarget } from "../shared/target.ts";
import { flag, operands, option } from "../../ui/argument.ts";
import { DURATION, integer, word } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "logs",
  group: "Run commands",
  summary: "Print the output of detached sessions",
  args: {
    ...usualTargetArgument,
    ids: operands(word("ID"), {
      valueName: "ID...",
      summary: "Ids or names of sessions, as `vsockbox ps` shows them",
    }),
    follow: flag({ summary: "Continue with new output until the session ends" }),
    tail: option(integer(0), { defaultText: "all", summary: "Begin with the last COUNT lines" }),
    since: option(DURATION, { summary: "Begin with what was written in the last TIME" }),
    timestamps: flag({
      summary: "Print before each line when it was written, by the guest's clock",
    }),
    ...offsetArgument,
    json: flag({
      summary: "Print, instead of the output, a JSON line with the offset that follows it",
    }),
    ...agentArguments,
  },
  conflicts: { timestamps: ["json"] },
  examples: [
    { command: "vsockbox logs 3 1f2e", explanation: "All that is kept" },
    { command: "vsockbox logs --follow web build", explanation: "Until the session ends" },
    {
      command: "vsockbox logs --tail 20 --timestamps 3 build",
      explanation: "The last lines, each with its time",
    },
    { command: "vsockbox logs --since 10m 3 build", explanation: "Of the last ten minutes" },
    { command: "vsockbox logs 3 1f2e --offset 4096", explanation: "From a byte on" },
  ],
  async run(args) {
    const { ids, follow, json, offset, tail, since: sinceMs, timestamps } = args;
    if (ids.length > 1 && follow) {
      throw commandLineError("logs", "--follow accepts one session", "run a command for each");
    }
    const { address, options } = agentTarget(args, args.target);
    await using client = await AgentClient.connect(address, options);
    let output: SessionOutput | undefined;
    let status = 0;
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      output?.leave(
        new VsockboxError({ code: "ABORTED", operation: "follow the output", message: "detached" }),
      );
    });
    try {
      const selection = { follow, offset, tail, sinceMs, timestamps };
      const print = async (id: string) => {
        output = SessionOutput.open(client, id, selection, json ? undefined : reportDropped);
        if (json) {
          for await (const _ of output);
        } else await printPieces(output);
        const result = await output.result;
        if (json) {
          printJson({
            id,
            offset_bytes: field(result, "offset") ?? null,
            dropped_bytes: field(result, "dropped") ?? null,
            exit_code: field(result, "exit_code") ?? null,
            signal: field(result, "signal") ?? null,
          });
        }
        return field(result, "offset") === undefined ? 65 : 0;
      };
      return await forEachOperand(ids, print, { json });
    } catch (thrown) {
      if (status !== 0) return status;
      throw thrown;
    }
  },
});

/** Prints output, with times if the agent sends them. */
async function printPieces(output: SessionOutput): Promise<void> {
  const outputs = { stdout: new StandardOutput(1), stderr: new StandardOutput(2) };
  const lines = new TimestampedLines();
  for await (const { stream, bytes, timeMs } of output) {
    await outputs[stream].write(timeMs === undefined ? bytes : lines.push(stream, bytes, timeMs));
  }
}
