/** Errors and facts to text and JSON. */
import { writeSync } from "node:fs";
import { reasonOf, toVsockboxError } from "../errors.ts";

/** Writes one line to standard error; talk, never data. */
export function say(line: string): void {
  writeAll(2, `${line}\n`);
}

/** Writes one JSON value as a line to standard output. */
export function printJson(value: unknown): void {
  writeAll(1, `${JSON.stringify(value)}\n`);
}

/** Writes one line to standard output; data. */
export function print(line: string): void {
  writeAll(1, `${line}\n`);
}

/** Short texts only: blocks where the reader does not read, and is quiet where it is gone. */
function writeAll(fd: 1 | 2, text: string): void {
  let rest: Uint8Array = new TextEncoder().encode(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (thrown) {
      if (reasonOf(thrown).errno === "EAGAIN") {
        Bun.sleepSync(1);
        continue;
      }
      return;
    }
  }
}

/** Reports an error to the user, and gives the exit status that it stands for. */
export function reportError(thrown: unknown): number {
  const error = toVsockboxError(thrown);
  say(`vsockbox: ${error.message}`);
  if (error.hint !== undefined) say(`  hint: ${error.hint}`);
  if (error.code === "SOFTWARE") {
    say("  this is a defect of vsockbox; VSOCKBOX_DEBUG=1 shows where");
    if (process.env["VSOCKBOX_DEBUG"] !== undefined) say(String(stackOf(thrown)));
  }
  return error.exitStatus;
}

function stackOf(thrown: unknown): unknown {
  return thrown instanceof Error ? (thrown.stack ?? thrown) : thrown;
}
