/** `vsockbox logs`: what a detached session wrote. */
import { AgentClient } from "../agent/agent-client.ts";
import { VsockboxError } from "../errors.ts";
import { onEndingSignal, statusOfSignal } from "../process/signals.ts";
import { isBrokenPipe } from "../process/stdio.ts";
import { field } from "../protocols/agent/json-fields.ts";
import type { Command } from "../ui/command.ts";
import { printJson } from "../ui/report.ts";
import { offsetOf, printOutput } from "./attach.ts";
import { agentArguments, agentTarget } from "./target.ts";

export const command: Command = {
  name: "logs",
  description: "Print what a detached session wrote",
  args: {
    target: { type: "positional", required: true, description: "The agent's address" },
    id: {
      type: "positional",
      required: true,
      description: "Id or name, as `vsockbox ps` shows it",
    },
    follow: { type: "boolean", alias: "f", description: "Go on with what is still to come" },
    offset: {
      type: "string",
      valueHint: "BYTES",
      description: "Begin at this byte of its output (default: the oldest that is kept)",
    },
    json: {
      type: "boolean",
      description: "Print no output but a JSON line with the offset to go on from",
    },
    ...agentArguments,
  },
  examples: [
    { command: "vsockbox logs 3 1f2e", explanation: "All that is kept" },
    { command: "vsockbox logs -f web build", explanation: "Until the session ends" },
    { command: "vsockbox logs 3 1f2e --offset 4096", explanation: "From a byte on" },
  ],
  async run(args) {
    const { address, options } = agentTarget(args, args.required("target"));
    await using client = await AgentClient.connect(address, options);
    const remote = client.attach(args.required("id"), {
      logs: true,
      follow: args.flag("follow"),
      offset: offsetOf(args),
    });
    let status = 0;
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      remote.leave(new VsockboxError({ code: "ABORTED", operation: "logs", message: "left" }));
    });
    try {
      if (args.flag("json")) {
        for await (const _ of remote);
      } else await printOutput(remote);
      const result = await remote.result;
      if (args.flag("json")) printJson(result);
      return field(result, "offset") === undefined ? 65 : 0;
    } catch (thrown) {
      if (isBrokenPipe(thrown)) return 141;
      if (status !== 0) return status;
      throw thrown;
    }
  },
};
