/** Errors and facts to text and JSON. */
import { writeSync } from "node:fs";
import { reasonOf, toVsockboxError, VsockboxError } from "../errors.ts";

/** Writes a line to standard error; talk, never data. */
export function say(line: string): void {
  writeText(2, withoutControls(`${line}\n`));
}

/** What a guest says may have sequences that a terminal obeys: nothing of them is left. */
export function withoutControls(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]|\r(?!\n)/g, "?");
}

/** Writes one JSON value as a line to standard output. */
export function printJson(value: unknown): void {
  writeText(1, `${JSON.stringify(value)}\n`);
}

/** Writes one line to standard output; data. */
export function print(line: string): void {
  writeText(1, withoutControls(`${line}\n`));
}

/** Writes a text of our own, which may have colours, to standard output. */
export function printStyled(text: string): void {
  writeText(1, `${text}\n`);
}

function writeText(fd: 1 | 2, text: string): void {
  writeAll(fd, new TextEncoder().encode(text));
}

/**
 * Short texts only: blocks where the reader does not read, and is quiet where it is gone.
 *
 * @throws {VsockboxError} IO where data cannot be written, as on a full disk.
 */
export function writeAll(fd: 1 | 2, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (thrown) {
      if (reasonOf(thrown).errno === "EAGAIN") {
        Bun.sleepSync(1);
        continue;
      }
      if (fd === 2 || reasonOf(thrown).errno === "EPIPE") return;
      throw new VsockboxError({
        code: "IO",
        operation: "write to",
        address: "standard output",
        ...reasonOf(thrown),
      });
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
