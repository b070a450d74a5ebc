/** `vsockbox attach`: joins a detached session. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import type { RemoteCommand } from "../../agent/client/remote-command.ts";
import { feedInput } from "../../agent/client/remote-process.ts";
import { VsockboxError } from "../../errors.ts";
import { onEndingSignal } from "../../process/signals.ts";
import { standardInput, StandardOutput } from "../../io/stdio.ts";
import { terminalSize } from "../../process/raw-terminal.ts";
import { field, type JsonObject, textField } from "../../protocols/agent/json-fields.ts";
import { say } from "../../ui/report.ts";
import { agentArguments, usualTargetArgument, agentTarget } from "../shared/target.ts";
import { assertTerminal, asTerminal, joinTerminal } from "../shared/remote-terminal.ts";
import { flag, option, operand } from "../../ui/argument.ts";
import { word, integer } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { countOf } from "../../text/count.ts";

/** `--offset` of attach and logs. */
export const offsetArgument = {
  offset: option(integer(0, Number.MAX_SAFE_INTEGER, "BYTES"), {
    defaultText: "the oldest that is kept",
    summary: "Begin at this byte of its output",
  }),
};

export const command = defineCommand({
  name: "attach",
  group: "Run commands",
  summary: "Connect this terminal to a detached session",
  args: {
    ...usualTargetArgument,
    id: operand(word("ID"), { summary: "Id or name of the session, as `vsockbox ps` shows it" }),
    ...offsetArgument,
    noStdin: flag({
      short: "n",
      summary: "Read no standard input, and leave the session's input open",
    }),
    ...agentArguments,
  },
  examples: [
    { command: "vsockbox attach 3 1f2e", explanation: "The beginning of an id is enough" },
    {
      command: "vsockbox attach web build",
      explanation: "By name; `~.` detaches from a terminal, Ctrl-C from anything else",
    },
  ],
  async run(args) {
    const { address, options } = agentTarget(args, args.target);
    const id = args.id;
    await using client = await AgentClient.connect(address, options);
    const isTerminal = await runsOnTerminal(client, id);
    if (isTerminal) assertTerminal();
    const remote = client.attach(id, {
      offset: args.offset,
      halfClose: !isTerminal && !args.noStdin,
      ...(isTerminal ? { tty: terminalSize() } : {}),
    });
    if (isTerminal) return await joinTerminal(asTerminal(remote), 0, `detached; ${id} goes on`);
    return await joinPipes(remote, id, args.noStdin);
  },
});

async function runsOnTerminal(client: AgentClient, id: string): Promise<boolean> {
  const { sessions } = await client.request({ op: "sessions" });
  if (!Array.isArray(sessions)) return false;
  const found: unknown = sessions.find(
    (session: unknown) =>
      textField(session, "name", "") === id || textField(session, "id").startsWith(id),
  );
  return textField(found, "tty") === "true";
}

async function joinPipes(remote: RemoteCommand, id: string, noInput: boolean): Promise<number> {
  let left = false;
  using _signals = onEndingSignal(() => {
    left = true;
    remote.leave(new VsockboxError({ code: "ABORTED", operation: "attach", message: "detached" }));
  });
  if (!noInput) void feedInput(remote, standardInput());
  try {
    await printOutput(remote);
    return (await remote.exited).exitCode & 0xff;
  } catch (thrown) {
    if (!left) throw thrown;
    say(`vsockbox: detached; ${id} goes on`);
    return 0;
  }
}

/** Reports output that is not kept any more, of which an agent sends the number of bytes. */
export function reportDropped(value: JsonObject): void {
  const dropped = field(value, "dropped");
  if (typeof dropped !== "number") return;
  const verb = dropped === 1 ? "was" : "were";
  say(`vsockbox: ${countOf(dropped, "byte")} of older output ${verb} dropped`);
}

/** Prints a session's output, and reports lost parts of it. */
async function printOutput(remote: RemoteCommand): Promise<void> {
  remote.channel.onControl = reportDropped;
  const outputs = { stdout: new StandardOutput(1), stderr: new StandardOutput(2) };
  for await (const { stream, bytes } of remote) await outputs[stream].write(bytes);
}
