/** A command in the guest, on a channel: its request, streams, exit status and result. */
import type { VsockboxError } from "../../errors.ts";
import { Stream } from "../../protocols/agent/channel-frames.ts";
import {
  ARGV_FEATURE,
  encodeExecPart,
  type ExecOperation,
  type ExecPart,
  splitExecOperation,
} from "../../protocols/agent/exec-request.ts";
import {
  badField,
  field,
  type JsonObject,
  integerField,
} from "../../protocols/agent/json-fields.ts";
import type { TerminalSize } from "../../protocols/agent/messages.ts";
import { StartError, startFailureOfStatus } from "../../start-error.ts";
import { printable } from "../../text/printable.ts";
import type { Channel } from "../channel/channel.ts";
import type { ChannelOpener } from "./channel-opener.ts";
import type { OutputPiece, RemoteExit, RemoteProcess } from "./remote-process.ts";
import { assertSandboxSupport } from "./sandbox-support.ts";

/** A command to be run. */
export type CommandToRun = Omit<ExecOperation, "op" | "detach" | "name" | "more">;

/** A command that outlives its connection. */
export interface DetachedCommand {
  id: string;
  pid: number | undefined;
}

/** Session ids are printed and used in scripts: no other characters. */
const SESSION_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** A channel of a command. */
export interface CommandChannel {
  channel: Channel;
  /** Resolves when the whole request was sent; undefined if it fitted into the Open. */
  sent: Promise<void> | undefined;
}

/**
 * Opens a channel for a command, whose vector may be longer than one frame.
 *
 * @param features those of the agent's Hello.
 * @throws {StartError} resources (E2BIG) if one argument is longer than a frame.
 * @throws {VsockboxError} UNAVAILABLE if the agent cannot confine the command as requested.
 */
export function openCommand(
  opener: ChannelOpener,
  features: readonly string[],
  request: ExecOperation,
): CommandChannel {
  assertSandboxSupport(features, request.sandbox);
  if (!features.includes(ARGV_FEATURE)) return { channel: opener.open(request), sent: undefined };
  const { first, parts } = splitExecOperation(request);
  const channel = opener.open(first);
  return { channel, sent: parts.length === 0 ? undefined : sendParts(channel, parts) };
}

/** Sends the rest of a request. Never rejects: the channel's reader reports a broken channel. */
async function sendParts(channel: Channel, parts: readonly ExecPart[]): Promise<void> {
  try {
    for (const part of parts) await channel.sendRecord(encodeExecPart(part));
  } catch (thrown) {
    if (thrown instanceof StartError) channel.cancel(thrown);
  }
}

/**
 * Reads the result of a detached start.
 *
 * @throws {StartError} if the agent reports a failed start.
 * @throws {VsockboxError} BAD_DATA for an invalid id.
 */
export function detachedCommandOf(result: JsonObject): DetachedCommand {
  throwFailedStart(result);
  const what = "exec result";
  const id = field(result, "id");
  if (typeof id !== "string" || !SESSION_ID.test(id)) throw badField(what, "its id is not an id");
  return { id, pid: integerField(what, result, "pid", 0x7fff_ffff) };
}

/**
 * Reads the exit status from the result of a command.
 *
 * @throws {StartError} if the agent reports a failed start.
 * @throws {VsockboxError} BAD_DATA for an invalid exit code.
 */
function exitOfResult(result: JsonObject): RemoteExit {
  throwFailedStart(result);
  const signal = field(result, "signal");
  return {
    exitCode: integerField("exec result", result, "exit_code", 0xffff_ffff) ?? 0,
    signal: typeof signal === "string" ? printable(signal) : undefined,
  };
}

/** Agents without typed failures report a failed start as a result. */
function throwFailedStart(result: JsonObject): void {
  const error = field(result, "error");
  if (typeof error !== "string") return;
  const exitCode = integerField("exec result", result, "exit_code", 0xffff_ffff) ?? 1;
  throw startFailureOfStatus(exitCode, printable(error));
}

/** Options of {@link RemoteCommand}. */
export interface RemoteCommandOptions extends CommandChannel {
  /** Whether input will be sent. */
  input: boolean;
  /** Closes the whole connection. */
  close: () => Promise<void>;
}

/** A command in the guest, on a channel. */
export class RemoteCommand implements RemoteProcess {
  readonly channel: Channel;
  readonly #options: RemoteCommandOptions;
  /** Its exit status; rejects if it could not be started, or the connection broke before its end. */
  readonly exited: Promise<RemoteExit>;
  /** The channel's whole result. */
  readonly result: Promise<JsonObject>;

  constructor(options: RemoteCommandOptions) {
    this.#options = options;
    this.channel = options.channel;
    this.result = options.channel.result;
    if (!options.input) this.endInput();
    this.exited = this.result.then(exitOfResult);
    this.exited.catch(() => undefined);
  }

  get hasBegun(): boolean {
    return this.channel.hasBegun;
  }

  /** Output in the order in which it came, until the command's end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<OutputPiece> {
    for (;;) {
      const item = await this.channel.next();
      if (item === undefined) return;
      if (item.kind !== "data") continue;
      yield { stream: item.stream === Stream.Errors ? "stderr" : "stdout", bytes: item.bytes };
    }
  }

  /** Sends input; resolves when more can be sent. */
  async write(bytes: Uint8Array): Promise<void> {
    const { sent } = this.#options;
    if (sent !== undefined) await sent;
    await this.channel.send(Stream.Input, bytes);
  }

  /** Ends its input. */
  endInput(): void {
    const { sent } = this.#options;
    if (sent === undefined) this.channel.end();
    else void sent.then(() => this.channel.end());
  }

  /** Sends a signal, which overtakes input that the command has not read. */
  signal(signal: number): void {
    this.channel.control({ signal });
  }

  /** Sends a terminal's new size. */
  resize({ rows, cols }: TerminalSize): void {
    this.channel.control({ tty: { rows, cols } });
  }

  /** Closes the channel: a command is ended, a detached session goes on. */
  leave(reason: VsockboxError): void {
    this.channel.cancel(reason);
  }

  /** Closes the whole connection. */
  close(): Promise<void> {
    return this.#options.close();
  }
}
