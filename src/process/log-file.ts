/** A log that lines are appended to. */
import { closeSync, openSync, writeSync } from "node:fs";

/** Mode of a new log file: commands and addresses in it are not for everybody. */
const LOG_FILE_MODE = 0o640;

/** Opens a log for appending, making it where it is not there. The caller closes it. */
export function openLogFile(path: string): number {
  return openSync(path, "a", LOG_FILE_MODE);
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

  /** Where it is. */
  get path(): string {
    return this.#path;
  }

  /**
   * Appends each line of `text`. Never throws: a full disk must not end what is being logged.
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
