/** The whole terminal for a program that redraws it: the alternate screen, without a cursor. */
import { writeAll } from "./report.ts";

/** DECSET and DECRST of xterm: 1049 is the alternate screen, 25 the cursor. */
const ENTER = "\u001B[?1049h\u001B[?25l";
const LEAVE = "\u001B[?25h\u001B[?1049l";
const HOME = "\u001B[H";
const CLEAR_LINE_END = "\u001B[K";
const CLEAR_BELOW = "\u001B[J";

/** Draws on standard output's terminal until this is disposed; restored at the process's exit at the latest. */
export class FullScreen implements Disposable {
  #isOpen = true;
  readonly #restore = () => this.#leave();

  constructor() {
    process.once("exit", this.#restore);
    write(ENTER);
  }

  /** Replaces what is shown; lines are no wider and no more than the terminal. */
  draw(lines: readonly string[]): void {
    write(`${HOME}${lines.map((line) => `${line}${CLEAR_LINE_END}`).join("\r\n")}${CLEAR_BELOW}`);
  }

  #leave(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      write(LEAVE);
    } catch {
      // The terminal has been hung up.
    }
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#restore);
    this.#leave();
  }
}

function write(text: string): void {
  writeAll(1, new TextEncoder().encode(text));
}
