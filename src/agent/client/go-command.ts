/** A command over the Go agent's frames: ExecStream, ExecPipe and ExecTTY, one on a connection. */
import { VsockboxError } from "../../errors.ts";
import { signalName, SIGNAL_STATUS_BASE } from "../../process/exit-status.ts";
import {
  encodeFrame,
  encodeJsonFrame,
  type Frame,
  frameName,
  FrameType,
  STREAM_FRAME_BYTES,
} from "../../protocols/agent/frame.ts";
import {
  type CommandRequest,
  decodeExecResponse,
  decodeExit,
  encodeExecRequest,
  encodeExecTTYRequest,
  encodeResize,
  type TerminalSize,
} from "../../protocols/agent/messages.ts";
import { printable } from "../../text/printable.ts";
import { startFailureOfStatus } from "../../start-error.ts";
import type { FrameExchange } from "../channel/frame-exchange.ts";
import { refusedBy } from "./handshake.ts";
import type { OutputPiece, RemoteExit, RemoteProcess } from "./remote-process.ts";

/** Exit code of a command that a signal ended: the Go agent sends -1 as u32. */
const GO_KILLED_BY_SIGNAL = 0xffff_ffff;

/** The Go agent may send a terminal's last output after Exit, for up to 100 ms. */
const LAST_OUTPUT_MS = 300;

/** Options of {@link GoCommand.start}. */
export interface GoCommandOptions {
  /** The agent's address, as errors show it. */
  address: string;
  /** Whether input will be sent; without it the command's input is empty. */
  input: boolean;
  /** The size of its terminal; undefined: it runs on pipes. */
  tty: TerminalSize | undefined;
  /** The hint of the error if the connection ends without a frame of the agent. */
  silentEndHint?: string | undefined;
}

/** A command in the guest, on a connection of its own. */
export class GoCommand implements RemoteProcess {
  readonly exited: Promise<RemoteExit>;
  readonly hasBegun = true;
  readonly #outcome = Promise.withResolvers<RemoteExit>();
  readonly #connection: FrameExchange;
  readonly #options: GoCommandOptions;
  #stderrHead = "";
  #sawStdout = false;
  #sawFrame = false;

  private constructor(connection: FrameExchange, options: GoCommandOptions) {
    this.#connection = connection;
    this.#options = options;
    this.exited = this.#outcome.promise;
    this.exited.catch(() => undefined);
  }

  /** Sends the request, which starts the command. */
  static async start(
    connection: FrameExchange,
    request: CommandRequest,
    options: GoCommandOptions,
  ): Promise<GoCommand> {
    const command = new GoCommand(connection, options);
    await command.#connection.sendEncoded(encodeRequest(request, options));
    return command;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<OutputPiece> {
    try {
      for (;;) {
        const frame = await this.#connection.next();
        if (frame === undefined) throw this.#endedEarly();
        this.#sawFrame = true;
        if (frame.type === FrameType.Stdout || frame.type === FrameType.Stderr) {
          yield this.#pieceOf(frame);
          continue;
        }
        const exit = exitOf(frame);
        if (this.#options.tty !== undefined) yield* this.#lastOutput();
        void this.close();
        this.#outcome.resolve(exit);
        return;
      }
    } catch (thrown) {
      this.#outcome.reject(thrown);
      throw thrown;
    }
  }

  #endedEarly(): VsockboxError {
    const hint = this.#sawFrame ? undefined : this.#options.silentEndHint;
    return commandEndedEarly(this.#sawStdout ? "" : this.#stderrHead, this.#options.address, hint);
  }

  #pieceOf({ type, payload }: Frame): OutputPiece {
    if (type === FrameType.Stdout) {
      this.#sawStdout = true;
      return { stream: "stdout", bytes: payload };
    }
    if (this.#stderrHead.length < 256) this.#stderrHead += new TextDecoder().decode(payload);
    return { stream: "stderr", bytes: payload };
  }

  /** Output that comes after Exit, until the agent closes; errors are ignored, since the command ended. */
  async *#lastOutput(): AsyncGenerator<OutputPiece> {
    const timer = setTimeout(() => this.#connection.abort(), LAST_OUTPUT_MS);
    try {
      for (;;) {
        const frame = await this.#connection.next();
        if (frame === undefined) break;
        if (frame.type === FrameType.Stdout) yield { stream: "stdout", bytes: frame.payload };
      }
    } catch {
      this.#connection.abort();
    } finally {
      clearTimeout(timer);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += STREAM_FRAME_BYTES) {
      const piece = bytes.subarray(offset, offset + STREAM_FRAME_BYTES);
      await this.#connection.sendEncoded(encodeFrame(FrameType.Stdin, piece));
    }
  }

  endInput(): void {
    const hasInput = this.#options.input && this.#options.tty === undefined;
    if (hasInput) this.#post(FrameType.Stdin, new Uint8Array(0));
  }

  signal(signal: number): void {
    this.#post(FrameType.Signal, Uint8Array.of(signal));
  }

  resize(size: TerminalSize): void {
    this.#post(FrameType.Resize, encodeResize(size));
  }

  /** A broken connection is noticed by the reading side. */
  #post(type: FrameType, payload: Uint8Array): void {
    this.#connection.sendEncoded(encodeFrame(type, payload)).catch(() => undefined);
  }

  leave(reason: VsockboxError): void {
    this.#connection.abort(reason);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

function encodeRequest(request: CommandRequest, { input, tty }: GoCommandOptions): Uint8Array {
  if (tty !== undefined) {
    return encodeJsonFrame(FrameType.ExecTTY, encodeExecTTYRequest({ ...request, size: tty }));
  }
  // The Go agent stops listening to an ExecPipe once its input has ended: no signal reaches the
  // command any more, and it outlives its client. Its ExecStream has an empty input and does notice
  // a client that disconnects.
  const mode = input ? FrameType.ExecPipe : FrameType.ExecStream;
  return encodeJsonFrame(mode, encodeExecRequest({ ...request, stdin: new Uint8Array(0) }));
}

/**
 * Reads the exit status from the frame that ends a session.
 *
 * @throws {StartError} if the agent reports that it did not run.
 */
function exitOf({ type, payload }: Frame): RemoteExit {
  if (type === FrameType.Exit) return exitOfCode(decodeExit(payload));
  if (type === FrameType.ExecResult) {
    const { exitCode, error } = decodeExecResponse(payload);
    if (error !== undefined) throw startFailureOfStatus(exitCode, printable(error));
    return exitOfCode(exitCode >>> 0);
  }
  throw new VsockboxError({
    code: "BAD_DATA",
    operation: "run command",
    message: `the agent answered with an unexpected ${frameName(type)} frame`,
    hint: "another service may listen at this address",
  });
}

/** Converts an exit code of the wire. */
function exitOfCode(code: number): RemoteExit {
  // The signal is not reported; to shells, 128 alone means "ended by a signal".
  const exitCode = code === GO_KILLED_BY_SIGNAL ? SIGNAL_STATUS_BASE : code & 0xff;
  return { exitCode, signal: signalName(exitCode - SIGNAL_STATUS_BASE) };
}

/**
 * Returns the error for a session that ended without an exit code: the agent's refusal if its Stderr
 * frames contain one.
 *
 * @param address of the agent, as errors show it.
 */
export function commandEndedEarly(
  stderrHead: string,
  address: string,
  hint?: string,
): VsockboxError {
  return (
    refusedBy(stderrHead, address) ??
    new VsockboxError({
      code: "TRANSPORT",
      operation: "run command",
      message: "the connection ended before the command's exit status",
      hint:
        hint ?? "the agent or the guest may have been stopped; what the command did is not known",
    })
  );
}
