/** `vsockbox ps`: the detached sessions of an agent. */
import { sessionJson } from "../shared/json-shapes.ts";
import { AgentClient } from "../../agent/client/agent-client.ts";
import { showPath } from "../../files/bytes-path.ts";
import { numberField, textField } from "../../protocols/agent/json-fields.ts";
import { print, printJson } from "../../ui/report.ts";
import { flag } from "../../ui/argument.ts";
import { table } from "../../text/table.ts";
import { formatUptime } from "../../text/units.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { agentArguments, usualTargetArgument, agentTarget } from "../shared/target.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "ps",
  group: "Run commands",
  summary: "List an agent's detached sessions",
  args: {
    ...usualTargetArgument,
    quiet: flag({
      short: "q",
      summary: "Print only ids, one a line: of running sessions, with --all of all of them",
    }),
    all: flag({
      short: "a",
      summary: "With --quiet: also sessions that have ended, as in the list",
    }),
    ...agentArguments,
    ...jsonArgument,
  },
  conflicts: { quiet: ["json"] },
  examples: [
    { command: "vsockbox ps 3", explanation: "Running ones, and the last that ended" },
    { command: "vsockbox ps web --json", explanation: "A JSON object a session" },
    { command: "vsockbox kill 3 $(vsockbox ps -q 3)", explanation: "End all that run" },
  ],
  async run(args) {
    const { address, options } = agentTarget(args, args.target);
    await using client = await AgentClient.connect(address, options);
    const { sessions } = await client.request({ op: "sessions" });
    const list: unknown[] = Array.isArray(sessions) ? sessions : [];
    if (args.quiet) {
      for (const id of sessionIds(list, args.all)) print(id);
      return 0;
    }
    if (args.json) {
      for (const session of list) printJson(sessionJson(session));
      return 0;
    }
    const rows = list.map((session) => {
      const text = (name: string) => showPath(Buffer.from(textField(session, name, "")));
      const exit = text("signal") || text("exit_code");
      const state = exit === "" ? text("state") : `ended (${exit})`;
      const ended = numberField(session, "endedMs", Date.now());
      const seconds = (ended - numberField(session, "startedMs", ended)) / 1000;
      return [text("id"), text("name"), text("pid"), state, formatUptime(seconds), text("command")];
    });
    for (const line of table(["ID", "NAME", "PID", "STATE", "TIME", "COMMAND"], rows)) print(line);
    return 0;
  },
});

/** Returns the ids of sessions as scripts get them: of those that run, or of all. */
export function sessionIds(sessions: readonly unknown[], isAll: boolean): string[] {
  return sessions
    .filter((session) => isAll || textField(session, "state") === "running")
    .map((session) => textField(session, "id", ""));
}
