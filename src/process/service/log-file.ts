/** A log that lines are appended to. */
import { closeSync, writeSync } from "node:fs";
import { openTrustedForAppending } from "../../files/trusted-path.ts";

/** Mode of a new log file: it contains commands and addresses that other users must not read. */
const LOG_FILE_MODE = 0o640;

/**
 * Opens a log for appending, or makes it. The caller closes it.
 *
 * @throws {VsockboxError} CANNOT_CREATE; REFUSED for a file or a link of another user in a directory
 * that others may write to.
 */
export function openLogFile(path: string): number {
  return openTrustedForAppending(path, LOG_FILE_MODE, { operation: "open log file" });
}

/**
 * Appends lines with the time in front. The path is opened for each line, so a file that was moved
 * away is made anew: log rotation needs no signal.
 */
export class LogFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Its path. */
  get path(): string {
    return this.#path;
  }

  /**
   * Appends each line of `text`. Never throws: a full disk must not end the service.
   *
   * @returns whether it was written.
   */
  write(text: string, time: Date = new Date()): boolean {
    const stamp = time.toISOString();
    const lines = text.replace(/\n+$/, "").split("\n");
    const bytes = new TextEncoder().encode(lines.map((line) => `${stamp} ${line}\n`).join(""));
    try {
      const fd = openLogFile(this.#path);
      try {
        return writeSync(fd, bytes) === bytes.length;
      } finally {
        closeSync(fd);
      }
    } catch {
      return false;
    }
  }
}
