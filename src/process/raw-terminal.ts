/** This process's own terminal in raw mode: keys go through as they are, until it is restored. */

import { getTermios, getWindowSize, setTermios, type Termios } from "../ffi/termios.ts";
import { modesOf, rawSettings, type TerminalModes } from "../protocols/terminal/modes.ts";

const [STDIN, STDOUT, STDERR] = [0, 1, 2];

/** A terminal's size in characters. */
export interface Size {
  rows: number;
  cols: number;
}

/** The size now of the terminal that one of the standard streams is; 24 x 80 if none is. */
export function terminalSize(): Size {
  for (const fd of [STDOUT, STDIN, STDERR]) {
    const size = getWindowSize(fd);
    if (size !== undefined) return size;
  }
  return { rows: 24, cols: 80 };
}

/** Returns the modes of the terminal on standard input before it is raw; undefined without a terminal. */
export function terminalModes(): TerminalModes | undefined {
  const settings = getTermios(STDIN);
  return settings === undefined ? undefined : modesOf(settings);
}

/**
 * Continues to read keys after Ctrl-Z at a prompt and the shell's `fg`, until disposed:
 * readline pauses the input there.
 */
export function readAfterStop(): Disposable {
  const resume = () => void setImmediate(() => process.stdin.resume());
  process.on("SIGCONT", resume);
  return { [Symbol.dispose]: () => void process.off("SIGCONT", resume) };
}

/**
 * Raw mode of standard input's terminal until this is disposed; restored at the process's exit at the
 * latest. Unlike the runtime's own raw mode it has no output processing either: what a command's
 * terminal has made of its output is not changed once more.
 */
export class RawTerminal implements Disposable {
  readonly #saved = getTermios(STDIN);
  readonly #restore = () => this.#set(this.#saved);
  // A shell that continues a stopped job has changed the terminal's settings.
  readonly #makeRaw = () => this.#set(this.#saved && rawSettings(this.#saved));
  #onResize: (() => void) | undefined;

  constructor() {
    this.#makeRaw();
    process.once("exit", this.#restore);
    process.on("SIGCONT", this.#makeRaw);
  }

  #set(settings: Termios | undefined): void {
    try {
      if (settings !== undefined) setTermios(STDIN, settings);
    } catch {
      // The terminal has been hung up.
    }
  }

  /** Typed bytes as they come; ends when the terminal hangs up. */
  async *keys(): AsyncGenerator<Uint8Array> {
    for await (const chunk of process.stdin) yield chunk as Uint8Array;
  }

  /** Calls `handler` with each new size. */
  onResize(handler: (size: Size) => void): void {
    this.#onResize = () => handler(terminalSize());
    process.on("SIGWINCH", this.#onResize);
  }

  [Symbol.dispose](): void {
    if (this.#onResize !== undefined) process.off("SIGWINCH", this.#onResize);
    process.off("exit", this.#restore);
    process.off("SIGCONT", this.#makeRaw);
    this.#restore();
    process.stdin.pause();
  }
}
