/** The prompt of guest-exec-host: typed lines become commands, and output keeps clear of the prompt. */
import {
  clearScreenDown,
  createInterface,
  cursorTo,
  type Interface,
  moveCursor,
} from "node:readline";
import type { ByteSink } from "../../io/pump.ts";
import { whyUnsendable } from "../../protocols/guest-exec/command.ts";
import { LineHistory } from "../../ui/line-history.ts";
import { printable } from "../../text/printable.ts";
import { writeAll } from "../../ui/report.ts";
import { obeysEscapes } from "../../ui/terminal-escapes.ts";
import { openLog } from "../../process/service/log.ts";
import type { TextSinks } from "./guest-exec-output.ts";

const HISTORY_FILE = "guest-exec-history";

const LINE_FEED = 0x0a;

/** A prompt on this terminal, until disposed. */
export class GuestExecPrompt implements AsyncIterable<Uint8Array>, Disposable {
  readonly #history = new LineHistory(HISTORY_FILE);
  /** With the rows above the cursor's that it draws from. */
  readonly #readline: Interface & { prevRows?: number };
  readonly #lines: Uint8Array[] = [];
  #wake = Promise.withResolvers<void>();
  #closed = false;
  #interrupted = false;
  #names: readonly string[] = [];
  readonly #onLeave: () => void;

  /** @param onLeave called for the second Ctrl-C in a row. */
  constructor(onLeave: () => void) {
    this.#onLeave = onLeave;
    this.#readline = createInterface({
      input: process.stdin,
      output: process.stdout,
      terminal: true,
      prompt: this.#prompt(),
      history: this.#history.newestFirst,
      removeHistoryDuplicates: true,
    });
    this.#readline.on("line", (line) => this.#onLine(line));
    this.#readline.on("SIGINT", () => this.#onInterrupt());
    // After Ctrl-Z and `fg`: readline has paused the input.
    this.#readline.on("SIGCONT", () => this.#readline.prompt(true));
    this.#readline.on("close", () => {
      // The cursor is still after the prompt.
      if (!this.#closed) writeAll(1, Buffer.of(LINE_FEED));
      this.#closed = true;
      this.#wake.resolve();
    });
    this.#readline.prompt();
  }

  /** Output that goes above the prompt. */
  get sinks(): TextSinks {
    const sink: ByteSink = {
      write: (bytes) => {
        this.#above(bytes);
        return Promise.resolve();
      },
      end: () => Promise.resolve(),
    };
    const show = (line: string) =>
      this.#above(Buffer.from(`${printable(line, { keepsTabs: true })}\n`));
    return { stdout: sink, stderr: sink, log: openLog({ show }) };
  }

  /** Shows in the prompt who is connected. */
  show(names: readonly string[]): void {
    this.#names = names;
    if (this.#closed) return;
    this.#clear();
    this.#readline.setPrompt(this.#prompt());
    this.#readline.prompt(true);
  }

  /** Typed commands, until Ctrl-D. */
  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) yield line;
      else if (this.#closed) return;
      else {
        this.#wake = Promise.withResolvers();
        await this.#wake.promise;
      }
    }
  }

  #prompt(): string {
    const [only] = this.#names;
    if (only === undefined) return "no guest> ";
    return this.#names.length === 1 ? `guest ${only}> ` : `guests ${this.#names.join(" ")}> `;
  }

  #onLine(line: string): void {
    this.#interrupted = false;
    const command = new TextEncoder().encode(line);
    if (line.trim() !== "") {
      this.#history.add(line);
      const why = whyUnsendable(command, true);
      if (why !== undefined) {
        this.#above(Buffer.from(`vsockbox: not sent: ${why}\n`));
      } else {
        if (this.#names.length === 0) this.#above(Buffer.from("vsockbox: waiting for a guest\n"));
        this.#lines.push(command);
        this.#wake.resolve();
      }
    }
    this.#readline.prompt();
  }

  #onInterrupt(): void {
    if (this.#readline.line !== "") {
      // To the end of the line, then everything before it.
      this.#readline.write(null, { ctrl: true, name: "e" });
      this.#readline.write(null, { ctrl: true, name: "u" });
      return;
    }
    if (this.#interrupted) return this.#onLeave();
    this.#interrupted = true;
    this.#above(
      Buffer.from("vsockbox: once more, or Ctrl-D, ends the prompt; commands of guests continue\n"),
    );
  }

  #above(bytes: Uint8Array): void {
    if (!this.#closed) this.#clear();
    writeAll(1, bytes);
    if (bytes.at(-1) !== LINE_FEED) writeAll(1, Buffer.of(LINE_FEED));
    if (!this.#closed) this.#readline.prompt(true);
  }

  /** Erases the prompt and the typed text, all rows of it. */
  #clear(): void {
    if (!obeysEscapes(process.stdout)) return;
    moveCursor(process.stdout, 0, -this.#readline.getCursorPos().rows);
    cursorTo(process.stdout, 0);
    clearScreenDown(process.stdout);
    // Readline would move up once more; its record of the typed lines is wrong, too.
    this.#readline.prevRows = 0;
  }

  [Symbol.dispose](): void {
    this.#readline.close();
  }
}
