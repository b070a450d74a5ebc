/** One line on the terminal that says what is going on, and goes away again. */
import { writeSync } from "node:fs";

/** Frames a second at most: a line that changes faster only flickers. */
const MIN_INTERVAL_MS = 100;

/** Written to standard error, and only where that is a terminal. */
export class StatusLine implements Disposable {
  readonly #enabled: boolean;
  readonly #begin = performance.now();
  #shown = false;
  #last = -Infinity;

  constructor(wanted: boolean) {
    this.#enabled = wanted && process.stderr.isTTY === true;
  }

  /** Replaces the line; the time since the beginning is put in front. */
  show(text: string): void {
    const now = performance.now();
    if (!this.#enabled || now - this.#last < MIN_INTERVAL_MS) return;
    this.#last = now;
    const seconds = ((now - this.#begin) / 1000).toFixed(1);
    const columns = process.stderr.columns || 80;
    writeSync(2, `\r\u001B[K${`${seconds}s ${text}`.slice(0, columns - 1)}`);
    this.#shown = true;
  }

  /** Removes the line. */
  clear(): void {
    if (this.#shown) writeSync(2, "\r\u001B[K");
    this.#shown = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
