/** Long work on the file system, in pieces between which other sessions are served. */
import { VsockboxError } from "../../errors.ts";

/** Entries between two turns of the other sessions. */
const TURN_ENTRIES = 500;

/**
 * Returns a function that is called once for each entry, and now and then gives other sessions a turn.
 *
 * @param isLeft whether the peer does not want the result any more; the function throws ABORTED then.
 */
export function takeTurns(operation: string, isLeft: () => boolean): () => Promise<void> {
  let entries = 0;
  return async () => {
    if (++entries % TURN_ENTRIES !== 0) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (isLeft()) {
      throw new VsockboxError({ code: "ABORTED", operation, message: "the host has left" });
    }
  };
}
