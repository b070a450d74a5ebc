/** A transient line of status on the terminal. */
import { writeSync } from "node:fs";
import { cutToColumns } from "../text/cut-to-columns.ts";
import { printable } from "../text/printable.ts";
import { obeysEscapes } from "./terminal-escapes.ts";

/** Frames a second at most: a line that changes faster only flickers. */
const MIN_INTERVAL_MS = 100;

/** The last column makes some terminals wrap, and Ctrl-C is echoed after the line as `^C`. */
const RESERVED_COLUMNS = 3;

/** Written to standard error, and only if that is a terminal that can erase it. */
export class StatusLine implements Disposable {
  readonly isEnabled: boolean;
  readonly #begin = performance.now();
  #shown = false;
  #last = -Infinity;

  constructor(wanted: boolean) {
    this.isEnabled = wanted && obeysEscapes(process.stderr);
  }

  /** Replaces the line; the time since the beginning is put in front. */
  show(text: string): void {
    const now = performance.now();
    if (!this.isEnabled || now - this.#last < MIN_INTERVAL_MS) return;
    this.#last = now;
    const seconds = ((now - this.#begin) / 1000).toFixed(1);
    const columns = process.stderr.columns || 80;
    const line = `${seconds}s ${printable(text)}`;
    this.#write(`\r\u001B[K${cutToColumns(line, columns - RESERVED_COLUMNS)}`);
    this.#shown = true;
  }

  /** Removes the line. */
  clear(): void {
    if (this.#shown) this.#write("\r\u001B[K");
    this.#shown = false;
  }

  #write(text: string): void {
    try {
      writeSync(2, text);
    } catch {
      // The work continues if the terminal is blocked or closed.
    }
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
