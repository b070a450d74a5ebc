/** Input for a command that does not read. */
import { standsStill } from "../support/process-state.ts";
import { frame, Type, type Wire } from "./wire.ts";

/** More than all buffers on the way can hold, in bytes. */
export const MORE_THAN_BUFFERS_BYTES = 64_000_000;

/**
 * Sends Stdin frames until no more are accepted.
 *
 * @returns how many bytes were accepted; {@link MORE_THAN_BUFFERS_BYTES} if there was no end to it.
 */
export async function sendUntilStuck(wire: Wire): Promise<number> {
  const piece = frame(Type.Stdin, Buffer.alloc(65_536));
  let accepted = 0;
  const push = async () => {
    for (; accepted < MORE_THAN_BUFFERS_BYTES; accepted += piece.length) await wire.send(piece);
  };
  void push();
  return standsStill("no more input is accepted", () => accepted);
}
