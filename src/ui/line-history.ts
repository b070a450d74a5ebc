/** The history of a prompt, kept in a file. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** Lines that are offered again. */
const HISTORY_LINES = 1000;

/** The state directory of the XDG base directory specification, and ours in it. */
function stateDirectory(): string {
  const base =
    process.env["XDG_STATE_HOME"] || join(process.env["HOME"] || homedir(), ".local/state");
  return join(base, "vsockbox");
}

/**
 * The lines of a prompt in a file of the user's own, mode 0600. If the file cannot be read or
 * written there is no history, and no error.
 */
export class LineHistory {
  readonly #path: string;
  readonly #lines: string[];

  /** @param name of the file in `$XDG_STATE_HOME/vsockbox`, or `~/.local/state/vsockbox`. */
  constructor(name: string) {
    this.#path = join(stateDirectory(), name);
    const lines = this.#read();
    this.#lines = lines.slice(-HISTORY_LINES);
    // Now and then, so that the file stays small and each line costs no more than itself.
    if (lines.length > 2 * HISTORY_LINES) {
      this.#write(() =>
        writeFileSync(this.#path, this.#lines.map((line) => `${line}\n`).join(""), { mode: 0o600 }),
      );
    }
  }

  /** The lines so far, the newest first, as readline wants them. */
  get newestFirst(): string[] {
    return this.#lines.toReversed();
  }

  /** Adds a line, unless it begins with a blank, as shells have it, or is the last one again. */
  add(line: string): void {
    if (line === "" || line.startsWith(" ") || line === this.#lines.at(-1)) return;
    this.#lines.push(line);
    this.#write(() => {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      appendFileSync(this.#path, `${line}\n`, { mode: 0o600 });
    });
  }

  #read(): string[] {
    try {
      return readFileSync(this.#path, "utf8").split("\n").filter(Boolean);
    } catch {
      return [];
    }
  }

  #write(action: () => void): void {
    try {
      action();
    } catch {
      // The prompt works without.
    }
  }
}
