/** One command in one guest, from the request to the report of its end. */
import type { CommandToRun } from "../../agent/client/remote-command.ts";
import { feedInput } from "../../agent/client/remote-process.ts";
import { startCommand } from "../../agent/client/start-command.ts";
import type { ByteSource } from "../../io/pump.ts";
import { STATUS_TIMED_OUT } from "../../process/exit-status.ts";
import { say } from "../../ui/report.ts";
import type { ExecControl } from "./exec-control.ts";
import type { ExecOutput } from "../shared/json-output.ts";
import type { AgentTarget } from "../shared/target.ts";

/** What a command is run with. */
export interface ExecRun {
  request: CommandToRun;
  /** Opened once the command is being started, so that a failed connection reads nothing. */
  openInput: (() => ByteSource) | undefined;
  control: ExecControl;
  output: ExecOutput;
  timeoutMs: number | undefined;
}

/**
 * Runs the command and reports to the output how it ended.
 *
 * @returns its exit status, or that of a command that ran out of time.
 * @throws {VsockboxError} as `startCommand` and `RemoteProcess`.
 */
export async function runCommand(
  target: AgentTarget,
  { request, openInput, control, output, timeoutMs }: ExecRun,
): Promise<number> {
  const begin = performance.now();
  const command = { ...request, input: openInput !== undefined };
  const remote = await startCommand(target, command, (message) => say(`vsockbox: ${message}`));
  try {
    control.attach(remote, timeoutMs);
    if (openInput !== undefined) void feedInput(remote, openInput());
    for await (const { stream, bytes } of remote) {
      await (stream === "stdout" ? output.onStdout(bytes) : output.onStderr(bytes));
    }
    const exit = await remote.exited;
    const status = control.timedOut ? STATUS_TIMED_OUT : exit.exitCode & 0xff;
    await output.onExit({
      exit_code: status,
      signal: exit.signal ?? null,
      timed_out: control.timedOut,
      duration_ms: Math.round(performance.now() - begin),
    });
    return status;
  } finally {
    void remote.close();
  }
}
