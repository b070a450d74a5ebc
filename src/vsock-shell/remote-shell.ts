/** The client's side of a shell or command on a terminal of the server. */
import { VsockboxError } from "../errors.ts";
import { ClientProtocol } from "../protocols/vsock-shell/client-protocol.ts";
import { encodeTerminalExtension } from "../protocols/vsock-shell/extension.ts";
import { LARGE_DATA_BYTES, Type } from "../protocols/vsock-shell/message.ts";
import { encodeWindowSize, type ShellWindowSize } from "../protocols/vsock-shell/payloads.ts";
import { encodeText } from "../protocols/vsock-shell/texts.ts";
import { leaveTerminal } from "./c-server.ts";
import type { MessageConnection } from "./message-connection.ts";

/** What to open. */
export interface ShellRequest {
  /** Undefined: a shell. */
  command: string | undefined;
  term: string | undefined;
  /** Undefined: this side has no terminal. */
  size: ShellWindowSize | undefined;
  /** Speak as the C client does. */
  plain: boolean;
}

/** A terminal at the server. */
export class RemoteShell {
  readonly #connection: MessageConnection;
  readonly #protocol = new ClientProtocol("terminal");
  /** Whether the server is one of ours. */
  #isOurs = false;
  /** Set when this side has left: resolves when a C server has noticed. */
  #farewell: Promise<void> | undefined;
  /** A shell prompts at once; a command of a C server may be silent for any time. */
  #answersAtOnce = false;

  constructor(connection: MessageConnection) {
    this.#connection = connection;
  }

  /**
   * Requests the session. The size follows: a C server that gets it first ends the session.
   *
   * @throws {VsockboxError} USAGE if the command is too long.
   */
  async start({ command, term, size, plain }: ShellRequest): Promise<void> {
    const extension = plain
      ? undefined
      : encodeTerminalExtension({ term, maxData: LARGE_DATA_BYTES });
    this.#answersAtOnce = command === undefined;
    const type = command === undefined ? Type.OpenBash : Type.OpenCommand;
    const isBare = command === undefined && extension === undefined;
    await this.#connection.send(type, isBare ? undefined : encodeText(command ?? "", extension));
    if (size !== undefined) await this.resize(size);
  }

  /** Sends typed bytes. */
  type(bytes: Uint8Array): Promise<void> {
    return this.#connection.sendBytes(Type.ClientData, bytes);
  }

  /** Sends the new size. */
  resize(size: ShellWindowSize): Promise<void> {
    return this.#connection.send(Type.WindowSize, encodeWindowSize(size));
  }

  /** Disconnects: the server ends the running command. Only a C server has to be asked to. */
  abort(reason: VsockboxError): void {
    if (this.#isOurs) this.#connection.stream.abort(reason);
    else this.#farewell ??= leaveTerminal(this.#connection);
  }

  /**
   * Hands the terminal's output on until the session is over.
   *
   * @returns the exit status; 128 + N for signal N; 0 from a C server, which reports none.
   * @throws {VsockboxError} TRANSPORT if the connection ends before; REFUSED; BAD_DATA.
   */
  async run(onOutput: (bytes: Uint8Array) => Promise<void>): Promise<number> {
    for (;;) {
      const message = await (this.#answersAtOnce
        ? this.#connection.nextInTime()
        : this.#connection.next());
      this.#answersAtOnce = false;
      if (this.#farewell !== undefined) {
        await this.#farewell;
        throw left();
      }
      if (message === undefined) throw shellEndedEarly();
      const event = this.#protocol.accept(message);
      if (event.kind === "output") await onOutput(event.bytes);
      if (event.kind === "greeted") {
        this.#isOurs = true;
        this.#connection.allowLarge(event.extension.maxData);
      }
      if (event.kind === "over") {
        void this.#connection.stream.close();
        return event.status ?? 0;
      }
    }
  }
}

function left(): VsockboxError {
  return new VsockboxError({
    code: "ABORTED",
    operation: "run command",
    message: "the session was closed",
  });
}

/** What a connection that ends without a word means. */
export function shellEndedEarly(): VsockboxError {
  return new VsockboxError({
    code: "TRANSPORT",
    operation: "continue",
    message: "the connection ended before the session",
    hint: "the server, or its VM, may have been stopped",
  });
}
