/** A command in a guest, whichever protocol carries it. */
import { reasonOf, VsockboxError } from "../../errors.ts";
import type { TerminalSize } from "../../protocols/agent/messages.ts";

/** How a command ended. */
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
   * How it ended; settles once its output was read. Rejects with a `StartError` if it could not be
   * started, and with TRANSPORT if how it ended will never be known.
   */
  readonly exited: Promise<RemoteExit>;
  /** Whether the agent is known to have the request; old agents do not report it. */
  readonly hasBegun: boolean;
  /** Sends input; resolves when more can be sent. */
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

/** Sends a local source as input; a broken source must not look like its end. */
export async function feedInput(
  process: RemoteProcess,
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  try {
    for await (const chunk of source) await process.write(chunk);
    process.endInput();
  } catch (thrown) {
    // A broken connection is reported by the reading side, which also knows how far it came.
    if (thrown instanceof VsockboxError) return;
    const operation = "read standard input";
    process.leave(new VsockboxError({ code: "IO", operation, ...reasonOf(thrown) }));
  }
}
