/** A real terminal for tests: tmux types and reads the screen. */
import { dirname } from "node:path";
import { BINARY, eventually } from "./binary.ts";

/** A tmux server of its own with one shell in it; `vsockbox` is the executable under test. */
export class Screen implements Disposable {
  readonly #socket: string;
  readonly #env: Record<string, string | undefined>;

  /**
   * @param socket where tmux listens; a path of its own each time, since the last server may still be
   * on its way out.
   */
  constructor(socket: string, env: Record<string, string> = {}) {
    this.#socket = socket;
    this.#env = {
      ...process.env,
      PATH: `${dirname(BINARY)}:${process.env["PATH"] ?? ""}`,
      VSOCKBOX_NO_VSOCK: "1",
      PS1: "$ ",
      TERM: "xterm",
      ...env,
    };
    this.tmux("new-session", "-d", "-x", "80", "-y", "12", "sh");
  }

  /** Runs a command of tmux; gives its output. */
  tmux(...args: string[]): string {
    const { stdout, stderr, exitCode } = Bun.spawnSync(
      ["tmux", "-S", this.#socket, "-f", "/dev/null", ...args],
      { env: this.#env },
    );
    if (exitCode !== 0) throw new Error(stderr.toString());
    return stdout.toString();
  }

  /** What is on the screen. */
  get text(): string {
    return this.tmux("capture-pane", "-p");
  }

  /** Types keys, by tmux's names. */
  type(...keys: string[]): void {
    this.tmux("send-keys", ...keys);
  }

  /** Changes the size. */
  resize(cols: number, rows: number): void {
    this.tmux("resize-window", "-x", String(cols), "-y", String(rows));
  }

  /** Whether the terminal is as a shell needs it: the normal screen, with a cursor. */
  get isNormal(): boolean {
    return this.tmux("display", "-p", "#{alternate_on} #{cursor_flag}").trim() === "0 1";
  }

  /** Waits until it is on the screen. */
  async shows(what: string | RegExp): Promise<void> {
    const seen = () => (typeof what === "string" ? this.text.includes(what) : what.test(this.text));
    try {
      await eventually("it is on the screen", seen);
    } catch {
      throw new Error(`the screen does not show ${String(what)}:\n${this.text}`);
    }
  }

  /** Puts the screen as it is into the test's output. */
  print(caption: string): void {
    const width = 80;
    const lines = this.text.trimEnd().split("\n");
    const frame = lines.map((line) => `| ${line.padEnd(width)} |`).join("\n");
    console.log(`${caption}\n+${"-".repeat(width + 2)}+\n${frame}\n+${"-".repeat(width + 2)}+`);
  }

  [Symbol.dispose](): void {
    this.tmux("kill-server");
  }
}
