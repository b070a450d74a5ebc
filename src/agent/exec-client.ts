/** The host's side of running a command in the guest: ExecPipe or ExecStream over one connection. */
import { VsockboxError } from "../errors.ts";
import type { ByteSource } from "../net/pump.ts";
import type { SocketStream } from "../net/stream.ts";
import {
  encodeFrame,
  encodeJsonFrame,
  frameName,
  FrameType,
  STREAM_FRAME_BYTES,
} from "../protocols/agent/frame.ts";
import {
  decodeExecResponse,
  decodeExit,
  encodeExecRequest,
  type ExecRequest,
} from "../protocols/agent/messages.ts";
import { printable } from "../printable.ts";
import { FrameConnection } from "./frame-connection.ts";
import { refusedBy } from "./hello-client.ts";

/** Go's -1, which its agent reports for a command that a signal ended, as the u32 on the wire. */
const GO_KILLED_BY_SIGNAL = 0xffff_ffff;

/** Where a command's output goes. */
export interface ExecOutputs {
  /** Called one at a time; the command is slowed down to what these accept. */
  onStdout(bytes: Uint8Array): Promise<void>;
  onStderr(bytes: Uint8Array): Promise<void>;
}

/** A command that runs in the guest. */
export class RemoteExec {
  readonly #connection: FrameConnection;
  #stderrHead = "";
  #sawStdout = false;

  readonly #stdin: ByteSource | undefined;

  /** Without `stdin` the command gets an empty input. */
  constructor(stream: SocketStream, stdin: ByteSource | undefined) {
    this.#connection = new FrameConnection(stream);
    this.#stdin = stdin;
  }

  /** Sends the request; nothing runs before it. */
  start(request: ExecRequest): Promise<void> {
    // The Go agent stops listening to an ExecPipe once its input has ended: no signal reaches the
    // command any more, and it outlives its client. Its ExecStream has an empty input and does
    // notice a client that leaves.
    const mode = this.#stdin === undefined ? FrameType.ExecStream : FrameType.ExecPipe;
    return this.#connection.sendEncoded(encodeJsonFrame(mode, encodeExecRequest(request)));
  }

  /** Sends a signal to the command's process group. */
  signal(signal: number): Promise<void> {
    return this.#connection.send(FrameType.Signal, Uint8Array.of(signal));
  }

  /** Drops the connection: the agent ends the command. */
  abort(reason: VsockboxError): void {
    this.#connection.stream.abort(reason);
  }

  /**
   * Moves input and output until the command has ended.
   *
   * @returns the exit code; 128 + N for signal N.
   * @throws {VsockboxError} TRANSPORT where the connection ended before the exit code came, REFUSED
   * where the agent does not let us in, BAD_DATA, and whatever the output callbacks throw.
   */
  async run(streams: ExecOutputs): Promise<number> {
    if (this.#stdin !== undefined) void this.#feed(this.#stdin);
    for (;;) {
      const frame = await this.#connection.next();
      if (frame === undefined) throw endedEarly(this.#sawStdout ? "" : this.#stderrHead);
      switch (frame.type) {
        case FrameType.Stdout:
          this.#sawStdout = true;
          await streams.onStdout(frame.payload);
          break;
        case FrameType.Stderr:
          this.#noteStderr(frame.payload);
          await streams.onStderr(frame.payload);
          break;
        case FrameType.Exit:
          void this.#connection.stream.close();
          return commandStatus(decodeExit(frame.payload));
        case FrameType.ExecResult: {
          void this.#connection.stream.close();
          const { exitCode, error } = decodeExecResponse(frame.payload);
          if (error !== undefined) {
            await streams.onStderr(
              new TextEncoder().encode(`vsockbox agent: ${printable(error)}\n`),
            );
          }
          return commandStatus(exitCode >>> 0);
        }
        default:
          throw new VsockboxError({
            code: "BAD_DATA",
            operation: "run command",
            message: `the agent answered with an unexpected ${frameName(frame.type)} frame`,
            hint: "is there an agent at this address? Another service may listen there",
          });
      }
    }
  }

  async #feed(stdin: ByteSource): Promise<void> {
    try {
      for await (const chunk of stdin) {
        for (let offset = 0; offset < chunk.length; offset += STREAM_FRAME_BYTES) {
          const piece = chunk.subarray(offset, offset + STREAM_FRAME_BYTES);
          await this.#connection.sendEncoded(encodeFrame(FrameType.Stdin, piece));
        }
      }
      await this.#connection.send(FrameType.Stdin, new Uint8Array(0));
    } catch (thrown) {
      // A broken connection is reported by the reading side, which also knows how far it came. A
      // broken local input must not look like its end.
      if (!(thrown instanceof VsockboxError)) {
        this.abort(
          new VsockboxError({
            code: "IO",
            operation: "read standard input",
            message: thrown instanceof Error ? thrown.message : String(thrown),
            cause: thrown,
          }),
        );
      }
    }
  }

  #noteStderr(payload: Uint8Array): void {
    if (this.#stderrHead.length < 256) this.#stderrHead += new TextDecoder().decode(payload);
  }
}

/**
 * Why a session ended without an exit code, by what the agent said on standard error.
 */
export function endedEarly(stderrHead: string): VsockboxError {
  return (
    refusedBy(stderrHead) ??
    new VsockboxError({
      code: "TRANSPORT",
      operation: "run command",
      message: "the connection ended before the command's exit status came",
      hint: "the agent or the guest may have been stopped; what the command did is not known",
    })
  );
}

/** An exit code from the wire as an exit status. */
export function commandStatus(code: number): number {
  // Which signal it was is not said; 128 alone is "ended by a signal" to shells.
  return code === GO_KILLED_BY_SIGNAL ? 128 : code & 0xff;
}
