/** The first frame of a connection to an agent. */
import { VsockboxError } from "../../errors.ts";
import { frameName, FrameType, isGoRequestType, type UnknownFrameType } from "./frame.ts";

/** A frame with which no session begins; its payload may not have been read. */
export class NoSessionError extends VsockboxError {
  readonly frameType: FrameType | UnknownFrameType;

  constructor(type: FrameType | UnknownFrameType) {
    super({
      code: "BAD_DATA",
      operation: "serve",
      message: `no session begins with a frame of ${frameName(type)}`,
      hint: "does the other end speak the agent protocol?",
    });
    this.frameType = type;
  }
}

/**
 * Checks the type of the first frame by its header: its payload may never come.
 *
 * @throws {NoSessionError}
 */
export function checkFirstFrame(type: FrameType | UnknownFrameType): void {
  if (type !== FrameType.Hello && !isGoRequestType(type)) throw new NoSessionError(type);
}
