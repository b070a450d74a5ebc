/** Errors and facts to text and JSON. */
import { writeSync } from "node:fs";
import { OutputError, reasonOf, toVsockboxError } from "../errors.ts";
import { wasClosedAtStart } from "../ffi/standard-streams.ts";
import { printable, printableJson } from "../text/printable.ts";

/** A line has a few texts of a peer at most, each cut already. */
const MAX_LINE_CHARACTERS = 64 * 1024;

/**
 * Writes one line to standard error; messages, never data. Whatever is in it stays on that line, and a
 * terminal obeys nothing of it: a guest may have chosen a part of it.
 */
export function say(line: string): void {
  writeText(2, `${oneLine(line)}\n`);
}

/** Writes a text of our own, with line breaks, to standard error. */
export function sayBlock(text: string): void {
  writeText(2, `${text}\n`);
}

function oneLine(text: string): string {
  return printable(text, { maxCharacters: MAX_LINE_CHARACTERS, keepsTabs: true });
}

/** Writes one JSON value as a line to standard output. */
export function printJson(value: unknown): void {
  writeText(1, `${printableJson(value)}\n`);
}

/** Writes one line to standard output, as {@link say} does; data. */
export function print(line: string): void {
  writeText(1, `${oneLine(line)}\n`);
}

/** Writes a text of our own, which may have colours and line breaks, to standard output. */
export function printStyled(text: string): void {
  writeText(1, `${text}\n`);
}

function writeText(fd: 1 | 2, text: string): void {
  writeAll(fd, new TextEncoder().encode(text));
}

/**
 * Short texts only: blocks while the reader does not read, and ignores a closed reader.
 *
 * @throws {VsockboxError} IO if data cannot be written, as on a full disk or a closed output.
 */
export function writeAll(fd: 1 | 2, bytes: Uint8Array): void {
  let rest = bytes;
  if (fd === 1 && bytes.length > 0) assertOutput();
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (thrown) {
      if (reasonOf(thrown).errno === "EAGAIN") {
        Bun.sleepSync(1);
        continue;
      }
      if (fd === 2 || reasonOf(thrown).errno === "EPIPE") return;
      throw new OutputError(fd, reasonOf(thrown), thrown);
    }
  }
}

let isOutputClosed: boolean | undefined;

function assertOutput(): void {
  isOutputClosed ??= wasClosedAtStart(1);
  if (!isOutputClosed) return;
  throw new OutputError(1, { errno: "EBADF", message: "bad file descriptor" });
}

/**
 * Reports an error to the user, and returns the exit status that it stands for.
 *
 * @param hint the command's own, in place of the error's.
 */
export function reportError(thrown: unknown, hint?: string): number {
  const error = toVsockboxError(thrown);
  const [first = "", ...others] = error.message.split("\n");
  say(`vsockbox: ${first}`);
  // Only messages of our own have more lines: those of peers are escaped on arrival. Even so none of
  // them may look like a line of another kind.
  for (const line of others) say(`  | ${line}`);
  const shownHint = hint ?? error.hint;
  if (shownHint !== undefined) say(`  hint: ${shownHint}`);
  if (error.code === "SOFTWARE") {
    say("  this is a defect of vsockbox; VSOCKBOX_DEBUG=1 shows its location");
    if (process.env["VSOCKBOX_DEBUG"] !== undefined) sayBlock(String(stackOf(thrown)));
  }
  return error.exitStatus;
}

function stackOf(thrown: unknown): unknown {
  return thrown instanceof Error ? (thrown.stack ?? thrown) : thrown;
}
