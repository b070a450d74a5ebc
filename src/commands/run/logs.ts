/** `vsockbox logs`: what a detached session wrote. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import type { RemoteCommand } from "../../agent/client/remote-command.ts";
import { VsockboxError } from "../../errors.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { field } from "../../protocols/agent/json-fields.ts";
import type { Command } from "../../ui/command.ts";
import { printJson } from "../../ui/report.ts";
import { offsetOf, printOutput } from "./attach.ts";
import { forEachOperand } from "../shared/operands.ts";
import { agentArguments, agentTarget } from "../shared/target.ts";

export const command: Command = {
  name: "logs",
  description: "Print what detached sessions wrote",
  args: {
    target: { type: "positional", required: true, description: "The agent's address" },
    ids: {
      type: "positional",
      required: true,
      repeatable: true,
      description: "Ids or names, as `vsockbox ps` shows them",
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
    const ids = args.list("ids");
    const follow = args.flag("follow");
    if (ids.length > 1 && follow) {
      throw new VsockboxError({
        code: "USAGE",
        operation: "logs",
        message: "--follow takes one session",
        hint: "run a command for each",
      });
    }
    const { address, options } = agentTarget(args, args.required("target"));
    await using client = await AgentClient.connect(address, options);
    let remote: RemoteCommand | undefined;
    let status = 0;
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      remote?.leave(new VsockboxError({ code: "ABORTED", operation: "logs", message: "left" }));
    });
    try {
      const json = args.flag("json");
      const print = async (id: string) => {
        remote = client.attach(id, { logs: true, follow, offset: offsetOf(args) });
        if (json) {
          for await (const _ of remote);
        } else await printOutput(remote);
        const result = await remote.result;
        if (json) printJson({ ...result, id });
        return field(result, "offset") === undefined ? 65 : 0;
      };
      return await forEachOperand(ids, print, { json });
    } catch (thrown) {
      if (status !== 0) return status;
      throw thrown;
    }
  },
};
