/** What the host sends: checked before a guest sees any of it. */
import { VsockboxError } from "../errors.ts";
import type { ByteSource } from "../io/pump.ts";
import { COMMAND_MAX_BYTES, whyUnsendable } from "../protocols/guest-exec/command.ts";

const NEWLINE = 0x0a;
const BLANKS: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0d]);

function unsendable(where: string, why: string): VsockboxError {
  return new VsockboxError({
    code: "USAGE",
    operation: "send",
    address: where,
    message: why,
    hint: "put a longer script into a file of the guest, or send it in pieces with --persistent",
  });
}

/**
 * Returns the command after a check that guests accept it.
 *
 * @param where its position in the input, such as `line 3`.
 * @throws {VsockboxError} USAGE.
 */
export function sendable(command: Uint8Array, where: string, persistent: boolean): Uint8Array {
  const why = whyUnsendable(command, persistent);
  if (why !== undefined) throw unsendable(where, why);
  return command;
}

/**
 * One command a line; blank lines are passed over. The last line needs no newline.
 *
 * @param name of the input, for errors.
 * @throws {VsockboxError} USAGE for a line that no guest accepts.
 */
export async function* commandLines(source: ByteSource, name: string): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  let number = 0;
  for await (const chunk of source) {
    let bytes: Uint8Array = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE)) {
      const line = bytes.subarray(0, end);
      number++;
      if (!isBlank(line)) yield sendable(line, `${name}, line ${number}`, true);
      bytes = bytes.subarray(end + 1);
    }
    if (bytes.length > COMMAND_MAX_BYTES) {
      throw unsendable(
        `${name}, line ${number + 1}`,
        `it has more than ${COMMAND_MAX_BYTES} bytes`,
      );
    }
    rest = bytes.slice();
  }
  if (!isBlank(rest)) yield sendable(rest, `${name}, line ${number + 1}`, true);
}

function isBlank(line: Uint8Array): boolean {
  return line.every((byte) => BLANKS.has(byte));
}
