/** One command in one guest, from the request to what is said of its end. */
import { RemoteExec } from "../agent/exec-client.ts";
import { dialAgent, greetAgent } from "../agent/hello-client.ts";
import { VsockboxError } from "../errors.ts";
import type { ByteSource } from "../net/pump.ts";
import type { SocketStream } from "../net/stream.ts";
import { SIGNAL_STATUS_BASE, signalName, STATUS_TIMED_OUT } from "../process/exit-status.ts";
import type { ExecRequest } from "../protocols/agent/messages.ts";
import type { ExecControl } from "./exec-control.ts";
import type { ExecOutput } from "./exec-output.ts";
import type { AgentTarget } from "./target.ts";

/** What a command is run with. */
export interface ExecRun {
  request: ExecRequest;
  /** Opened once the connection is there, so that a failed one takes nothing; undefined: empty. */
  openInput: (() => ByteSource) | undefined;
  control: ExecControl;
  output: ExecOutput;
  timeoutMs: number | undefined;
}

/**
 * Runs the command and tells the output how it ended.
 *
 * @returns its exit status, or that of a command that ran out of time.
 * @throws {VsockboxError} as `dialAgent` and `RemoteExec.run`.
 */
export async function runCommand(
  target: AgentTarget,
  { request, openInput, control, output, timeoutMs }: ExecRun,
): Promise<number> {
  const begin = performance.now();
  const stream = await dialFor(target, request);
  const remote = new RemoteExec(stream, openInput?.());
  await remote.start(request);
  control.attach(remote, timeoutMs);
  const code = await remote.run(output);
  const status = control.timedOut ? STATUS_TIMED_OUT : code;
  await output.onExit({
    exit_code: status,
    signal: code > SIGNAL_STATUS_BASE ? (signalName(code - SIGNAL_STATUS_BASE) ?? null) : null,
    timed_out: control.timedOut,
    duration_ms: Math.round(performance.now() - begin),
  });
  return status;
}

/**
 * Connects to run a command. A confinement is only asked of an agent that knows it: an old one would
 * pass over the field and run the command as it is.
 *
 * @throws {VsockboxError} as `dialAgent`; UNAVAILABLE where the agent has no sandbox.
 */
async function dialFor(
  { address, options }: AgentTarget,
  { sandbox }: ExecRequest,
): Promise<SocketStream> {
  if (sandbox === undefined) return dialAgent(address, options);
  const { connection, hello } = await greetAgent(address, options);
  if (hello.features.includes("sandbox")) return connection.detach();
  connection.stream.abort();
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "exec",
    message: "the agent knows no --sandbox",
    hint: "run a newer `vsockbox agent` in the guest",
  });
}
