/** Interrupts long work on the file system, so that other sessions are served in between. */
import { type Operation } from "../../operations.ts";
import { VsockboxError } from "../../errors.ts";
import { nextTurn } from "../../io/fair-turns.ts";

/** Entries between two turns of the event loop. */
const TURN_ENTRIES = 500;

/**
 * Returns a function to be called for each entry, which lets the event loop run every 500 calls.
 *
 * @param isClosed whether the peer has closed the channel; the function throws ABORTED then.
 */
export function yieldBetweenEntries(
  operation: Operation,
  isClosed: () => boolean,
): () => Promise<void> {
  let entries = 0;
  return async () => {
    if (++entries % TURN_ENTRIES !== 0) return;
    await nextTurn();
    if (isClosed()) {
      throw new VsockboxError({ code: "ABORTED", operation, message: "the host has disconnected" });
    }
  };
}
