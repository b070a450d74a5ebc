/** This process's own terminal in raw mode: keys go through as they are, until it is restored. */

/** A terminal's size in characters. */
export interface Size {
  rows: number;
  cols: number;
}

/** Whether standard input and output are a terminal. */
export function hasTerminal(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

/** The terminal's size now. */
export function terminalSize(): Size {
  return { rows: process.stdout.rows || 24, cols: process.stdout.columns || 80 };
}

/**
 * Goes on reading keys where Ctrl-Z at a prompt was followed by the shell's `fg`, until disposed:
 * readline pauses the input there.
 */
export function readAfterStop(): Disposable {
  const resume = () => void setImmediate(() => process.stdin.resume());
  process.on("SIGCONT", resume);
  return { [Symbol.dispose]: () => void process.off("SIGCONT", resume) };
}

/** Raw mode for as long as this is not disposed; restored at the process's exit at the latest. */
export class RawTerminal implements Disposable {
  readonly #restore = () => {
    process.stdin.setRawMode(false);
  };
  #onResize: (() => void) | undefined;

  constructor() {
    process.stdin.setRawMode(true);
    process.once("exit", this.#restore);
  }

  /** Typed bytes as they come; ends when the terminal hangs up. */
  async *keys(): AsyncGenerator<Uint8Array> {
    for await (const chunk of process.stdin) yield chunk as Uint8Array;
  }

  /** Calls `handler` with each new size. */
  onResize(handler: (size: Size) => void): void {
    this.#onResize = () => handler(terminalSize());
    process.stdout.on("resize", this.#onResize);
  }

  [Symbol.dispose](): void {
    if (this.#onResize !== undefined) process.stdout.off("resize", this.#onResize);
    process.off("exit", this.#restore);
    this.#restore();
    process.stdin.pause();
  }
}
