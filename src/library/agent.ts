/** A connected agent, for the library. */
import type { Pong } from "../agent/client/agent-client.ts";
import type { JsonObject } from "../protocols/agent/json-fields.ts";
import type { AgentLink, AgentProtocol } from "./agent-link.ts";
import {
  type CommandLine,
  type CommandOptions,
  type CommandResult,
  exec,
  type RunningCommand,
  spawn,
} from "./command.ts";
import { Files } from "./files.ts";
import { type Forward, type ForwardOptions, openForward } from "./forward.ts";

/**
 * An agent; any number of commands, transfers and forwards run side by side. With vsockbox they share one
 * connection.
 */
export class Agent implements AsyncDisposable {
  /** The guest's files. */
  readonly files: Files;
  /** Resolves when the connection is closed; with the protocol `go`, after {@link close}. Never rejects. */
  readonly closed: Promise<void>;
  /** The protocol that the agent has: `channels` of vsockbox, or `go` for matchlock's Go agent. */
  readonly protocol: AgentProtocol;
  readonly #link: AgentLink;

  /** Made by `connectAgent`. */
  constructor(link: AgentLink) {
    this.#link = link;
    this.files = new Files(link);
    this.closed = link.closed;
    this.protocol = link.protocol;
  }

  /** The agent's program and version. */
  get version(): string {
    return this.#link.version;
  }

  /**
   * Runs a command to its end and collects its output.
   *
   * @throws {StartError} if it could not be started, with `kind`, `stage` and `errno`.
   * @throws {VsockboxError} TRANSPORT if how it ended cannot be known, ABORTED. A command that fails
   * is a result, not an error: see `exitCode`.
   * @throws {TypeError} for a command without words.
   */
  exec(
    command: CommandLine,
    options: CommandOptions & { stdin?: Uint8Array | string } = {},
  ): Promise<CommandResult> {
    return exec(this.#link, command, options);
  }

  /**
   * Starts a command with streams, on a terminal if `tty` has a size. A failed start rejects `exited`
   * with a `StartError`.
   *
   * @throws {TypeError} for a command without words.
   */
  spawn(
    command: CommandLine,
    options: CommandOptions & { tty?: { rows: number; cols: number }; input?: boolean } = {},
  ): RunningCommand {
    return spawn(this.#link, command, options);
  }

  /** Opens a forward; it ends with this connection. */
  forward(options: ForwardOptions): Promise<Forward> {
    return openForward(this.#link, options);
  }

  /** Measures the round trip, and how far the agent's clock is off. */
  ping(): Promise<Pong> {
    return this.#link.ping();
  }

  /** Version, features, load, memory and kernel, as `vsockbox info --json` shows them. */
  info(): Promise<JsonObject> {
    return this.#link.request({ op: "info" });
  }

  /** Closes the connection; commands that still run are ended by the agent. */
  close(): Promise<void> {
    return this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
