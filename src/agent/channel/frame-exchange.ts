/** Frames in both directions, whatever carries them. */
import type { VsockboxError } from "../../errors.ts";
import type { Frame } from "../../protocols/agent/frame.ts";

/** One connection of the agent protocol, for code that needs nothing else of it. */
export interface FrameExchange {
  /**
   * Returns the next frame, or piece of a data frame; undefined at EOF.
   *
   * @throws {VsockboxError} BAD_DATA for a frame above the limit; TRANSPORT if the connection breaks or ends
   * inside a frame; the reason of {@link abort}.
   */
  next(): Promise<Frame | undefined>;
  /** Sends an encoded frame; resolves when it is accepted. */
  sendEncoded(frame: Uint8Array): Promise<void>;
  /** Closes at once; pending calls fail with the reason. */
  abort(reason?: VsockboxError): void;
  /** Closes after the frames that were sent. */
  close(): Promise<void>;
}
