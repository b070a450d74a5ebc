/** The executable under test on a pseudo-terminal that the test holds the other end of. */
import { writeSync } from "node:fs";
import { getTermios } from "../../src/ffi/termios.ts";
import { openPty, type WindowSize } from "../../src/ffi/pty.ts";
import { closeDescriptor, duplicateDescriptor } from "../../src/ffi/socket.ts";
import { PipeReader, PipeWriter } from "../../src/io/pipe.ts";
import { BINARY } from "./binary.ts";
import { eventually } from "./eventually.ts";

/** A terminal, of which the slave stays open so that its settings can be read at any time. */
export class OwnTerminal implements AsyncDisposable {
  readonly #pty;
  readonly #input: PipeWriter;
  readonly #output: PipeReader;
  #text = "";
  #marks = 0;

  constructor(size: WindowSize = { rows: 30, cols: 90 }) {
    this.#pty = openPty(size);
    this.#output = new PipeReader(duplicateDescriptor(this.#pty.master));
    this.#input = new PipeWriter(this.#pty.master);
    void this.#read();
  }

  async #read(): Promise<void> {
    for await (const chunk of this.#output) this.#text += Buffer.from(chunk).toString("latin1");
  }

  /** Everything that was written to it, a character a byte. */
  get text(): string {
    return this.#text;
  }

  /** Its settings as stty(1) would save them. */
  get settings(): string {
    return JSON.stringify(getTermios(this.#pty.slave));
  }

  /** Changes settings by stty(1). */
  stty(...words: string[]): void {
    const { exitCode, stderr } = Bun.spawnSync(["stty", ...words], {
      stdin: Bun.file(this.#pty.path),
    });
    if (exitCode !== 0) throw new Error(stderr.toString());
  }

  /** Starts the executable on it; `stdout` may be elsewhere. */
  run(args: readonly string[], stdout?: ReturnType<typeof Bun.file>): Bun.Subprocess {
    return Bun.spawn([BINARY, ...args], {
      stdio: [this.#pty.slave, stdout ?? this.#pty.slave, this.#pty.slave],
      env: { ...process.env, TERM: "xterm", NO_COLOR: "1", VSOCKBOX_NO_VSOCK: "1" },
    });
  }

  /** Awaits the exit status, and everything that the process has written before its end. */
  async exited(run: Bun.Subprocess): Promise<number> {
    const status = await run.exited;
    // Output arrives in order: once the mark is here, everything before it is.
    const mark = `\u0001${++this.#marks}\u0002`;
    writeSync(this.#pty.slave, mark);
    await this.shows(mark);
    this.#text = this.#text.replace(mark, "");
    return status;
  }

  async type(keys: string): Promise<void> {
    await this.#input.write(Buffer.from(keys));
  }

  async shows(what: string): Promise<void> {
    await eventually(`it shows ${what}`, () => this.#text.includes(what)).catch((thrown: Error) => {
      throw new Error(`${thrown.message}; it shows ${JSON.stringify(this.#text)}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeDescriptor(this.#pty.slave);
    this.#input.close();
    await this.#output.close();
  }
}
