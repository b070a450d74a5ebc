/** `vsockbox logs`: what a detached session wrote. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import type { RemoteCommand } from "../../agent/client/remote-command.ts";
import { commandLineError, VsockboxError } from "../../errors.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { field } from "../../protocols/agent/json-fields.ts";
import { printJson } from "../../ui/report.ts";
import { offsetArgument, printOutput } from "./attach.ts";
import { forEachOperand } from "../shared/operands.ts";
import { agentArguments, targetArgument, agentTarget } from "../shared/target.ts";
import { flag, operands } from "../../ui/argument.ts";
import { word } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "logs",
  group: "Run commands",
  summary: "Print the output of detached sessions",
  args: {
    ...targetArgument,
    ids: operands(word("ID"), {
      valueName: "ID...",
      summary: "Ids or names of sessions, as `vsockbox ps` shows them",
    }),
    follow: flag({ summary: "Continue with new output until the session ends" }),
    ...offsetArgument,
    json: flag({
      summary: "Print, instead of the output, a JSON line with the offset that follows it",
    }),
    ...agentArguments,
  },
  examples: [
    { command: "vsockbox logs 3 1f2e", explanation: "All that is kept" },
    { command: "vsockbox logs --follow web build", explanation: "Until the session ends" },
    { command: "vsockbox logs 3 1f2e --offset 4096", explanation: "From a byte on" },
  ],
  async run(args) {
    const ids = args.ids;
    const follow = args.follow;
    if (ids.length > 1 && follow) {
      throw commandLineError("logs", "--follow accepts one session", "run a command for each");
    }
    const { address, options } = agentTarget(args, args.target);
    await using client = await AgentClient.connect(address, options);
    let remote: RemoteCommand | undefined;
    let status = 0;
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      remote?.leave(
        new VsockboxError({ code: "ABORTED", operation: "follow the output", message: "detached" }),
      );
    });
    try {
      const json = args.json;
      const print = async (id: string) => {
        remote = client.attach(id, { logs: true, follow, offset: args.offset });
        if (json) {
          for await (const _ of remote);
        } else await printOutput(remote);
        const result = await remote.result;
        if (json) {
          const [offset, dropped] = [field(result, "offset"), field(result, "dropped")];
          printJson({
            id,
            offset_bytes: offset ?? null,
            dropped_bytes: dropped ?? null,
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
