/** A command in a guest, independent of the protocol that carries it. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { lentChunks } from "../../io/pump.ts";
import type { TerminalSize } from "../../protocols/agent/messages.ts";

/** Exit status of a command. */
export interface RemoteExit {
  /** The exit code; 128 + N for signal N. */
  exitCode: number;
  /** The signal's name, such as SIGKILL; undefined if none ended it, or the agent does not report it. */
  signal: string | undefined;
}

/** A piece of a command's output. */
export interface OutputPiece {
  stream: "stdout" | "stderr";
  bytes: Uint8Array;
}

/** A command that runs. Iterating it yields its output until its end. */
export interface RemoteProcess extends AsyncIterable<OutputPiece> {
  /**
   * Its exit status; settles after its output was read. Rejects with a `StartError` if it could not be
   * started, and with TRANSPORT if the connection broke before the exit status came.
   */
  readonly exited: Promise<RemoteExit>;
  /** Whether the agent is known to have read the request; true with old agents, which do not report it. */
  readonly hasBegun: boolean;
  /** Sends input; resolves when more can be sent, and the buffer may be used again. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends its input. */
  endInput(): void;
  /** Sends a signal to its process group, or to the foreground of its terminal. */
  signal(signal: number): void;
  /** Sends the new size of its terminal. */
  resize(size: TerminalSize): void;
  /** Disconnects: a command is ended, a detached session goes on. */
  leave(reason: VsockboxError): void;
  /** Closes the connection, which ends a command that still runs. */
  close(): Promise<void>;
}

/** Sends a local source as input; a source that fails ends the command instead of its input. */
export async function feedInput(
  process: RemoteProcess,
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  try {
    for await (const chunk of lentChunks(source)) {
      // The reading side reports a broken connection, with the position that it had reached.
      if (!(await isWritten(process, chunk))) return;
    }
    process.endInput();
  } catch (thrown) {
    process.leave(toVsockboxError(thrown, "read standard input"));
  }
}

async function isWritten(process: RemoteProcess, chunk: Uint8Array): Promise<boolean> {
  try {
    await process.write(chunk);
    return true;
  } catch (thrown) {
    if (!(thrown instanceof VsockboxError)) throw thrown;
    return false;
  }
}
