/** The host's side of a command on a terminal in the guest: ExecTTY over one connection. */
import { VsockboxError } from "../errors.ts";
import type { SocketStream } from "../net/stream.ts";
import { encodeFrame, encodeJsonFrame, frameName, FrameType } from "../protocols/agent/frame.ts";
import {
  decodeExit,
  encodeExecTTYRequest,
  encodeResize,
  type ExecTTYRequest,
  type TerminalSize,
} from "../protocols/agent/messages.ts";
import { commandStatus, endedEarly } from "./exec-client.ts";
import { FrameConnection } from "./frame-connection.ts";

/** The Go agent may send the terminal's last output behind Exit, for up to 100 ms. */
const LAST_OUTPUT_MS = 300;

/** A command on a terminal in the guest. */
export class RemoteTerminal {
  readonly #connection: FrameConnection;

  constructor(stream: SocketStream) {
    this.#connection = new FrameConnection(stream);
  }

  /** Sends the request; nothing runs before it. */
  start(request: ExecTTYRequest): Promise<void> {
    return this.#connection.sendEncoded(
      encodeJsonFrame(FrameType.ExecTTY, encodeExecTTYRequest(request)),
    );
  }

  /** Sends typed bytes. */
  type(bytes: Uint8Array): Promise<void> {
    return this.#connection.sendEncoded(encodeFrame(FrameType.Stdin, bytes));
  }

  /** Tells the new size. */
  resize(size: TerminalSize): Promise<void> {
    return this.#connection.send(FrameType.Resize, encodeResize(size));
  }

  /** Drops the connection: the agent ends the session. */
  abort(reason: VsockboxError): void {
    this.#connection.stream.abort(reason);
  }

  /**
   * Hands the terminal's output on until the command has ended.
   *
   * @returns the exit code; 128 + N for signal N.
   * @throws {VsockboxError} as `RemoteExec.run`.
   */
  async run(onOutput: (bytes: Uint8Array) => Promise<void>): Promise<number> {
    let stderrHead = "";
    for (;;) {
      const frame = await this.#connection.next();
      if (frame === undefined) throw endedEarly(stderrHead);
      switch (frame.type) {
        case FrameType.Stderr:
          stderrHead += new TextDecoder().decode(frame.payload);
          await onOutput(frame.payload);
          break;
        case FrameType.Stdout:
          await onOutput(frame.payload);
          break;
        case FrameType.Exit:
          await this.#lastOutput(onOutput);
          return commandStatus(decodeExit(frame.payload));
        default:
          throw new VsockboxError({
            code: "BAD_DATA",
            operation: "run command",
            message: `the agent answered with an unexpected ${frameName(frame.type)} frame`,
          });
      }
    }
  }

  /** What comes behind Exit until the agent closes; no error of it matters any more. */
  async #lastOutput(onOutput: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    const { stream } = this.#connection;
    const timer = setTimeout(() => stream.abort(), LAST_OUTPUT_MS);
    try {
      for (;;) {
        const frame = await this.#connection.next();
        if (frame === undefined) break;
        if (frame.type === FrameType.Stdout) await onOutput(frame.payload);
      }
      void stream.close();
    } catch {
      stream.abort();
    } finally {
      clearTimeout(timer);
    }
  }
}
