/** A command in the guest on this terminal, for `exec --tty`, `shell` and `attach`. */
import { hasTerminalInput } from "../../process/has-terminal.ts";
import { writeSync } from "node:fs";
import type { CommandToRun } from "../../agent/client/remote-command.ts";
import type { RemoteProcess } from "../../agent/client/remote-process.ts";
import { startCommand } from "../../agent/client/start-command.ts";
import { EXIT_STATUS, VsockboxError } from "../../errors.ts";
import { RawTerminal, type Size, terminalModes, terminalSize } from "../../process/raw-terminal.ts";
import { onEndingSignal, statusOfSignal, TERMINAL_ENDING_SIGNALS } from "../../process/signals.ts";
import { StandardOutput } from "../../io/stdio.ts";
import { ESCAPE_HELP, EscapeFilter } from "../../protocols/terminal/escape.ts";
import { ScreenModes } from "../../protocols/terminal/screen-modes.ts";
import { say, sayBlock } from "../../ui/report.ts";
import type { AgentTarget } from "./target.ts";

/** A terminal in the guest, as this one needs it. */
export interface TerminalSession {
  type(bytes: Uint8Array): Promise<void>;
  resize(size: Size): Promise<void>;
  /** Disconnects, whatever that means to what runs there. */
  abort(reason: VsockboxError): void;
  /** Passes its output on until its end; returns the exit status. */
  run(onOutput: (bytes: Uint8Array) => Promise<void>): Promise<number>;
}

/** A command of an agent as a terminal. */
export function asTerminal(remote: RemoteProcess): TerminalSession {
  return {
    type: (bytes) => remote.write(bytes),
    resize: (size) => {
      remote.resize(size);
      return Promise.resolve();
    },
    abort: (reason) => remote.leave(reason),
    async run(onOutput) {
      for await (const { bytes } of remote) await onOutput(bytes);
      return (await remote.exited).exitCode & 0xff;
    },
  };
}

/**
 * Runs the command on a terminal of the guest that is joined to this one.
 *
 * @throws {VsockboxError} as {@link joinTerminal}, and as `startCommand`.
 */
export async function runOnTerminal(target: AgentTarget, request: CommandToRun): Promise<number> {
  assertTerminal();
  const tty = { ...terminalSize(), modes: terminalModes() };
  const command = { ...withTerm(request), tty, input: true };
  const remote = await startCommand(target, command, (message) => say(`vsockbox: ${message}`));
  try {
    return await joinTerminal(asTerminal(remote), EXIT_STATUS.TRANSPORT, "connection closed");
  } finally {
    void remote.close();
  }
}

/**
 * Refuses to go on if keys cannot be read, as docker and ssh do. Output may be redirected.
 *
 * @throws {VsockboxError} USAGE.
 */
export function assertTerminal(): void {
  if (hasTerminalInput()) return;
  throw new VsockboxError({
    code: "USAGE",
    operation: "open terminal",
    message: "standard input is not a terminal",
    hint: "for scripts use `vsockbox exec` without --tty",
  });
}

/**
 * Joins this terminal to one in the guest; whatever happens, this one is restored.
 *
 * @param leftStatus the exit status if the user disconnects with `~.`.
 * @param leftMessage the message then.
 * @returns the command's exit status.
 */
export async function joinTerminal(
  remote: TerminalSession,
  leftStatus: number,
  leftMessage: string,
): Promise<number> {
  let left: number | undefined;
  const leave = (status: number) => {
    left ??= status;
    const message = "the session was closed";
    remote.abort(new VsockboxError({ code: "ABORTED", operation: "run command", message }));
  };
  // Whatever ends this process restores the terminal first.
  using _signals = onEndingSignal(
    (signal) => leave(statusOfSignal(signal)),
    TERMINAL_ENDING_SIGNALS,
  );
  const screen = new ScreenModes();
  const restore = () => restoreScreen(screen);
  try {
    using terminal = new RawTerminal();
    // A second signal ends the process without the end of this function.
    process.once("exit", restore);
    terminal.onResize((size) => void remote.resize(size).catch(() => undefined));
    void sendKeys(terminal, remote, () => leave(leftStatus), leave).catch(() => undefined);
    const output = new StandardOutput(1);
    return await remote.run((bytes) => {
      screen.push(bytes);
      return output.write(bytes);
    });
  } catch (thrown) {
    restore();
    if (left === undefined) throw thrown;
    say(`vsockbox: ${leftMessage}`);
    return left;
  } finally {
    process.off("exit", restore);
  }
}

/**
 * Resets the modes that a program in the guest has left on, and begins a new line for the message that
 * follows. Programs that end by themselves have done so.
 */
function restoreScreen(screen: ScreenModes): void {
  if (!process.stdout.isTTY) return;
  const resets = screen.reset();
  const text = screen.isAtLineStart ? resets : `${resets}\n`;
  try {
    // One attempt: a terminal that accepts nothing must not hold up the end.
    if (text !== "") writeSync(1, text);
  } catch {
    // The terminal has been hung up, or is stopped.
  }
}

/** The request with this terminal's TERM. */
export function withTerm(request: CommandToRun): CommandToRun {
  const term = process.env["TERM"];
  return term === undefined || term === ""
    ? request
    : { ...request, env: [Buffer.from(`TERM=${term}`), ...request.env] };
}

async function sendKeys(
  terminal: RawTerminal,
  remote: TerminalSession,
  onDisconnect: () => void,
  leave: (status: number) => void,
): Promise<void> {
  const escape = new EscapeFilter();
  for await (const typed of terminal.keys()) {
    const { bytes, actions } = escape.push(typed);
    if (bytes.length > 0) await remote.type(bytes);
    if (actions.includes("help")) sayBlock(`\r\n${ESCAPE_HELP.join("\r\n")}\r`);
    if (actions.includes("disconnect")) return onDisconnect();
  }
  // The terminal has hung up: there is no input and no reader any longer.
  leave(statusOfSignal("SIGHUP"));
}
