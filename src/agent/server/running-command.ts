/** A command of the agent with its streams, on pipes or on a terminal, attached or detached. */
import type { ExitStatus } from "../../process/exit-status.ts";
import { type Child, spawnCommand, type SpawnRequest } from "../../process/spawn.ts";
import {
  HANG_UP_MS,
  type NewTerminal,
  spawnOnTerminal,
  type TerminalChild,
} from "../../process/terminal-child.ts";
import { Stream } from "../../protocols/agent/channel-frames.ts";
import type { ExecControlMessage } from "../../protocols/agent/channel-requests.ts";
import type { ExecOperation } from "../../protocols/agent/exec-request.ts";
import { spawnRequestOf } from "./command-request.ts";
import { WatchedOutput } from "../../process/command-output.ts";

/** Consumes a command's output; resolves when it accepts more. */
export type OutputSink = (stream: Stream, bytes: Uint8Array) => Promise<void>;

/** A command that has been started. */
export class ServedCommand {
  readonly #child: Child | TerminalChild;
  readonly #terminal: TerminalChild | undefined;

  private constructor(child: Child | TerminalChild, terminal: TerminalChild | undefined) {
    this.#child = child;
    this.#terminal = terminal;
  }

  /**
   * Starts what the request asks for.
   *
   * @throws {StartError} as `spawnCommand` and `spawnOnTerminal` do; later failures are in
   * {@link started}.
   */
  static start(request: ExecOperation): ServedCommand {
    const { tty } = request;
    if (tty !== undefined) return ServedCommand.onTerminal(spawnRequestOf(request), tty);
    return new ServedCommand(spawnCommand(spawnRequestOf(request)), undefined);
  }

  /**
   * Starts a command on a terminal, without adding anything to the request.
   *
   * @throws {VsockboxError} as `spawnOnTerminal` does.
   */
  static onTerminal(request: SpawnRequest, like: NewTerminal): ServedCommand {
    const terminal = spawnOnTerminal(request, like);
    return new ServedCommand(terminal, terminal);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Resolves when the command runs; rejects with a `StartError` after closing its descriptors. */
  async started(): Promise<void> {
    try {
      await this.#child.started;
    } catch (thrown) {
      this.release();
      throw thrown;
    }
  }

  get exited(): Promise<ExitStatus> {
    return this.#child.exited;
  }

  /** Passes all output to `sink` until the command has ended; returns its exit status. */
  async pump(sink: OutputSink): Promise<ExitStatus> {
    const outputs = this.#outputs();
    void this.#child.exited.then(() => {
      for (const { output } of outputs) output.endWhenQuiet();
    });
    await Promise.all(
      outputs.map(({ stream, output }) => output.drain((bytes) => sink(stream, bytes))),
    );
    return this.#child.exited;
  }

  #outputs(): { stream: Stream; output: WatchedOutput }[] {
    const child = this.#child;
    return "stdout" in child
      ? [
          { stream: Stream.Output, output: new WatchedOutput(child.stdout) },
          { stream: Stream.Errors, output: new WatchedOutput(child.stderr) },
        ]
      : [{ stream: Stream.Output, output: new WatchedOutput(child.output) }];
  }

  /** Writes input; dropped after the command has closed its standard input, as in a shell. */
  async write(bytes: Uint8Array): Promise<void> {
    const input = "stdin" in this.#child ? this.#child.stdin : this.#child.input;
    await input.write(bytes).catch(() => undefined);
  }

  /** Closes its standard input; without effect on a terminal, whose EOF is a key. */
  async endInput(): Promise<void> {
    if ("stdin" in this.#child) await this.#child.stdin.end();
  }

  /** Signals its process group or its terminal's foreground group, or resizes its terminal. */
  control(message: ExecControlMessage): void {
    if (message.kind === "resize") this.#terminal?.resize(message.size);
    else if (this.#terminal === undefined) this.#child.signalGroup(message.signal);
    else this.#terminal.signalForeground(message.signal);
  }

  /** Sends SIGTERM, later SIGKILL; resolves when none of its processes is left. */
  async terminate(): Promise<void> {
    if (this.#terminal === undefined) {
      await this.#child.terminateGroup();
    } else {
      const hangUp = setTimeout(() => this.release(), HANG_UP_MS);
      await this.#terminal.terminateSession();
      clearTimeout(hangUp);
    }
    this.release();
  }

  /** Closes this side of its pipes or terminal. */
  release(): void {
    void ("closePipes" in this.#child ? this.#child.closePipes() : this.#child.closeTerminal());
  }
}
