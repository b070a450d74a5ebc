/** `exec --detach`: starts a command in one guest or several, and returns while it runs. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import type { CommandToRun, DetachedCommand } from "../../agent/client/remote-command.ts";
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import { terminalModes, terminalSize } from "../../process/raw-terminal.ts";
import { print, printJson, reportError, say } from "../../ui/report.ts";
import { errorJson, printJsonError } from "../shared/json-error.ts";
import { commandHint } from "../shared/error-hints.ts";
import { readAddress } from "../shared/address-kind.ts";
import type { ExecValues } from "./exec-arguments.ts";
import { type AgentTarget, agentTarget } from "../shared/target.ts";
import { withTerm } from "../shared/remote-terminal.ts";
import { countOf } from "../../text/count.ts";

/** What became of the start in one guest. */
export type DetachOutcome = { name: string } & (
  { session: DetachedCommand; error: undefined } | { session: undefined; error: VsockboxError }
);

/**
 * Starts the command everywhere and prints each session's id.
 *
 * @returns 0 if it was started everywhere, else the largest status of a failure.
 */
export async function detachCommand(
  args: ExecValues,
  names: readonly string[],
  request: CommandToRun,
): Promise<number> {
  const tty = args.tty ? { ...terminalSize(), modes: terminalModes() } : undefined;
  const command = {
    ...(tty === undefined ? request : { ...withTerm(request), tty }),
    input: args.interactive,
  };
  const [only, ...others] = names.map((name) => agentTarget(args, readAddress(name)));
  if (only === undefined) return 0;
  const sessionName = args.name;
  const json = args.json;
  if (others.length === 0) {
    const { session, error } = await start(only, command, sessionName);
    if (error !== undefined) return failed(error, json);
    if (json) printJson({ id: session.id, pid: session.pid ?? null });
    else print(session.id);
    return 0;
  }
  const targets = [only, ...others];
  const outcomes = await Promise.all(targets.map((target) => start(target, command, sessionName)));
  const width = Math.max(...names.map((name) => name.length));
  for (const outcome of outcomes) reportOne(outcome, json, width);
  if (!json) {
    const count = outcomes.filter(({ error }) => error !== undefined).length;
    say(`vsockbox: ${countOf(outcomes.length, "guest")}, ${count} failed`);
  }
  return detachStatus(outcomes);
}

/** 0 if all were started, else the largest status of a failure. */
function detachStatus(outcomes: readonly DetachOutcome[]): number {
  return Math.max(...outcomes.map(({ error }) => error?.exitStatus ?? 0));
}

function failed(error: VsockboxError, json: boolean): number {
  if (json) printJsonError(error);
  return reportError(error, commandHint(error));
}

function reportOne({ name, session, error }: DetachOutcome, json: boolean, width: number): void {
  if (error !== undefined) {
    if (json) printJson({ target: name, error: errorJson(error) });
    say(`vsockbox: ${name}: ${error.message}`);
  } else if (json) {
    printJson({ target: name, id: session.id, pid: session.pid ?? null });
  } else {
    print(`${name.padEnd(width)} | ${session.id}`);
  }
}

/** Starts it in one guest. Never throws. */
async function start(
  { name, address, options }: AgentTarget,
  command: CommandToRun,
  sessionName: string | undefined,
): Promise<DetachOutcome> {
  try {
    await using client = await AgentClient.connect(address, options);
    return { name, session: await client.detach(command, sessionName), error: undefined };
  } catch (thrown) {
    return { name, session: undefined, error: toVsockboxError(thrown, "exec") };
  }
}
