/** A command in the guest on this terminal, for `exec --tty` and `shell`. */
import { RemoteTerminal } from "../agent/tty-client.ts";
import { EXIT_STATUS, VsockboxError } from "../errors.ts";
import type { SocketAddress } from "../net/address.ts";
import { dial, type DialOptions } from "../net/dial.ts";
import { hasTerminal, RawTerminal, terminalSize } from "../process/raw-terminal.ts";
import { onEndingSignal, statusOfSignal } from "../process/signals.ts";
import { StandardOutput } from "../process/stdio.ts";
import type { CommandRequest } from "../protocols/agent/messages.ts";
import { ESCAPE_HELP, EscapeFilter } from "../protocols/terminal/escape.ts";
import { say } from "../ui/report.ts";

/**
 * Runs the command on a terminal of the guest that is joined to this one, whatever happens restores
 * this one, and gives the command's exit status; 255 where the user left with `~.`.
 *
 * @throws {VsockboxError} USAGE where there is no terminal here; else as `dial` and the session do.
 */
export async function runOnTerminal(
  target: SocketAddress,
  request: CommandRequest,
  options: DialOptions,
): Promise<number> {
  if (!hasTerminal()) {
    throw new VsockboxError({
      code: "USAGE",
      operation: "open terminal",
      message: "standard input and output are no terminal",
      hint: "for scripts use `vsockbox exec` without --tty",
    });
  }
  const stream = await dial(target, options);
  const remote = new RemoteTerminal(stream);
  await remote.start({ ...withTerm(request), size: terminalSize() });
  let left: number | undefined;
  const leave = (status: number) => {
    left ??= status;
    const message = "the session was left";
    remote.abort(new VsockboxError({ code: "ABORTED", operation: "run command", message }));
  };
  using _signals = onEndingSignal((signal) => leave(statusOfSignal(signal)));
  try {
    using terminal = new RawTerminal();
    terminal.onResize((size) => void remote.resize(size).catch(() => undefined));
    void sendKeys(terminal, remote, leave).catch(() => undefined);
    const output = new StandardOutput(1);
    return await remote.run((bytes) => output.write(bytes));
  } catch (thrown) {
    if (left === undefined) throw thrown;
    say("\nvsockbox: connection closed");
    return left;
  }
}

function withTerm(request: CommandRequest): CommandRequest {
  const term = process.env["TERM"];
  return term === undefined || term === ""
    ? request
    : { ...request, env: { TERM: term, ...request.env } };
}

async function sendKeys(
  terminal: RawTerminal,
  remote: RemoteTerminal,
  leave: (status: number) => void,
): Promise<void> {
  const escape = new EscapeFilter();
  for await (const typed of terminal.keys()) {
    const { bytes, actions } = escape.push(typed);
    if (bytes.length > 0) await remote.type(bytes);
    if (actions.includes("help")) say(`\r\n${ESCAPE_HELP.join("\r\n")}\r`);
    if (actions.includes("disconnect")) return leave(EXIT_STATUS.TRANSPORT);
  }
  // The terminal has hung up: nobody is left to type or to read.
  leave(statusOfSignal("SIGHUP"));
}
