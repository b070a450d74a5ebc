/** `vsockbox kill`: ends a detached session, or sends it a signal. */
import { field } from "../../protocols/agent/json-fields.ts";
import { sessionJson } from "../shared/json-shapes.ts";
import { AgentClient } from "../../agent/client/agent-client.ts";
import { signalNumber } from "../../process/exit-status.ts";
import { printJson } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { forEachOperand } from "../shared/operands.ts";
import { agentArguments, targetArgument, agentTarget } from "../shared/target.ts";
import { flag, option, operands } from "../../ui/argument.ts";
import { word, type ValueKind } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

/** A signal by name or number: `TERM`, `SIGTERM`, `term` or `15`. */
const SIGNAL: ValueKind<number> = {
  valueName: "SIGNAL",
  expected: "a signal such as HUP, SIGTERM or 9",
  parse(given) {
    const name = given.toUpperCase();
    const number = /^[0-9]{1,2}$/.test(given)
      ? Number(given)
      : signalNumber(name.startsWith("SIG") ? name : `SIG${name}`);
    return number !== undefined && number >= 1 && number <= 64 ? number : undefined;
  },
  format: String,
};

export const command = defineCommand({
  name: "kill",
  group: "Run commands",
  summary: "End detached sessions, or send them a signal",
  args: {
    ...targetArgument,
    ids: operands(word("ID"), {
      valueName: "ID...",
      summary: "Ids or names of sessions, as `vsockbox ps` shows them",
    }),
    signal: option(SIGNAL, {
      short: "s",
      defaultText: "TERM, and KILL five seconds later",
      summary: "Send only this signal, by name or number",
    }),
    remove: flag({ summary: "Also remove the session and its output" }),
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox kill 3 1f2e", explanation: "Returns once its process group has ended" },
    { command: "vsockbox kill -9 3 build", explanation: "Just a signal, as with kill(1)" },
    { command: "vsockbox kill --signal HUP 3 build web", explanation: "To several sessions" },
  ],
  rewrite: withSignalOption,
  async run(args) {
    const { signal } = args;
    const { address, options } = agentTarget(args, args.target);
    await using client = await AgentClient.connect(address, options);
    const json = args.json;
    const kill = async (id: string) => {
      const result = await client.request({ op: "kill", id, signal, remove: args.remove });
      if (json) {
        printJson({ ...sessionJson(result), was_running: field(result, "wasRunning") === true });
      }
    };
    return await forEachOperand(args.ids, kill, { json });
  },
});

/** `-9`, `-HUP` or `-SIGHUP`, as kill(1) has it. */
const SIGNAL_WORD = /^-([0-9]{1,2}|[A-Z][A-Z0-9+-]*)$/;

/** Writes the signals of kill(1) as our option; words after `--` are unchanged. */
function withSignalOption(words: readonly string[]): string[] {
  const end = words.indexOf("--");
  return words.map((given, index) => {
    const signal = end === -1 || index < end ? SIGNAL_WORD.exec(given)?.[1] : undefined;
    return signal === undefined ? given : `--signal=${signal}`;
  });
}
