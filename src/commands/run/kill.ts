/** `vsockbox kill`: ends a detached session, or sends it a signal. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { VsockboxError } from "../../errors.ts";
import { signalNumber } from "../../process/exit-status.ts";
import type { Command } from "../../ui/command.ts";
import { printJson } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { forEachOperand } from "../shared/operands.ts";
import { agentArguments, agentTarget } from "../shared/target.ts";

export const command: Command = {
  name: "kill",
  description: "End a detached session, or send it a signal",
  args: {
    target: { type: "positional", required: true, description: "The agent's address" },
    ids: {
      type: "positional",
      required: true,
      repeatable: true,
      description: "Ids or names, as `vsockbox ps` shows them",
    },
    signal: {
      type: "string",
      alias: "s",
      valueHint: "SIGNAL",
      description: "Name or number (default: TERM, and KILL five seconds later)",
    },
    remove: { type: "boolean", description: "Forget it and its output, too" },
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox kill 3 1f2e", explanation: "Returns when nothing of it is left" },
    { command: "vsockbox kill -9 3 build", explanation: "Just a signal, as with kill(1)" },
    { command: "vsockbox kill --signal HUP 3 build web", explanation: "To several sessions" },
  ],
  rewrite: withSignalOption,
  async run(args) {
    const signal = signalOf(args.string("signal"));
    const { address, options } = agentTarget(args, args.required("target"));
    await using client = await AgentClient.connect(address, options);
    const json = args.flag("json");
    const kill = async (id: string) => {
      const result = await client.request({ op: "kill", id, signal, remove: args.flag("remove") });
      if (json) printJson(result);
    };
    return await forEachOperand(args.list("ids"), kill, { json });
  },
};

/** `-9`, `-HUP` or `-SIGHUP`, as kill(1) has it. */
const SIGNAL_WORD = /^-([0-9]{1,2}|[A-Z][A-Z0-9+-]*)$/;

/** Writes the signals of kill(1) as our option; what stands behind `--` is left alone. */
function withSignalOption(words: readonly string[]): string[] {
  const end = words.indexOf("--");
  return words.map((word, index) => {
    const signal = end === -1 || index < end ? SIGNAL_WORD.exec(word)?.[1] : undefined;
    return signal === undefined ? word : `--signal=${signal}`;
  });
}

/** `TERM`, `SIGTERM`, `term` or `15`. */
function signalOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const name = text.toUpperCase();
  const number = /^[0-9]{1,2}$/.test(text)
    ? Number(text)
    : signalNumber(name.startsWith("SIG") ? name : `SIG${name}`);
  if (number !== undefined && number >= 1 && number <= 64) return number;
  throw new VsockboxError({
    code: "USAGE",
    operation: "read --signal",
    address: JSON.stringify(text),
    message: "there is no such signal",
    hint: "name one, as in --signal HUP or --signal 15",
  });
}
