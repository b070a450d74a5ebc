/** The shell of a demo's user: lines with `vsockbox` in them, in a directory of their own. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VsockboxError } from "../errors.ts";
import { endingWithUs } from "../process/terminate-with-parent.ts";
import { ownEnvironment } from "../process/environment.ts";
import { delay } from "../io/deadline.ts";

/** The result of a shell line. */
export interface LineResult {
  status: number;
  /** Standard output, then standard error. */
  output: string;
}

/** A command in the background is to have made its socket within this time. */
const SOCKET_TIMEOUT_MS = 30_000;

const SOCKET_POLL_MS = 20;

/** Runs lines, also in the background. All that it started ends with it. */
export class HostShell implements AsyncDisposable {
  /** The directory of sockets and files: `$DIR` in lines. */
  readonly directory = mkdtempSync(join(tmpdir(), "vsockbox-demo-"));
  readonly #variables: Readonly<Record<string, string>>;
  readonly #signal: AbortSignal;
  readonly #running = new Set<Bun.Subprocess>();

  /** `agent` returns the agent's address, `$AGENT` in lines, from the directory's path. */
  constructor(binary: string, agent: (directory: string) => string, signal: AbortSignal) {
    this.#signal = signal;
    const bin = join(this.directory, "bin");
    mkdirSync(bin);
    // The word `vsockbox` in a line means this very file, wherever it is.
    symlinkSync(binary, join(bin, "vsockbox"));
    this.#variables = { DIR: this.directory, AGENT: agent(this.directory) };
  }

  /** The line as a user would type it. */
  shown(line: string): string {
    return line.replaceAll(/\$(DIR|AGENT)\b/g, (_, name: string) => this.#variables[name] ?? "");
  }

  /**
   * Runs a line to its end.
   *
   * @throws the signal's reason.
   */
  async run(line: string): Promise<LineResult> {
    const child = this.#spawn(["sh", "-c", line]);
    const [stdout, stderr, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    this.#signal.throwIfAborted();
    return { status, output: stdout + stderr };
  }

  /**
   * Starts one command in the background and waits until its socket is there.
   *
   * @throws {VsockboxError} UNAVAILABLE with its output, if it exits or makes none; the signal's
   * reason.
   */
  async background(line: string, socket: string): Promise<void> {
    const child = this.#spawn(endingWithUs(["sh", "-c", `exec ${line}`]));
    void new Response(child.stdout).text();
    const said = new Response(child.stderr).text();
    const deadline = performance.now() + SOCKET_TIMEOUT_MS;
    while (!existsSync(this.shown(socket))) {
      if (child.exitCode !== null || performance.now() > deadline) {
        child.kill("SIGKILL");
        throw new VsockboxError({
          code: "UNAVAILABLE",
          operation: "start",
          address: this.shown(line),
          message: (await said).trim(),
        });
      }
      await delay(SOCKET_POLL_MS, this.#signal);
    }
  }

  #spawn(command: [string, ...string[]]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    this.#signal.throwIfAborted();
    const own = ownEnvironment().toRecord() ?? {};
    const child = Bun.spawn(command, {
      env: {
        ...own,
        ...this.#variables,
        PATH: `${join(this.directory, "bin")}:${own["PATH"] ?? ""}`,
      },
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, so that a line ends with all of its commands, and by us alone.
      detached: true,
    });
    this.#running.add(child);
    void child.exited.then(() => this.#running.delete(child));
    return child;
  }

  /** Ends all processes and removes the directory. */
  async [Symbol.asyncDispose](): Promise<void> {
    const running = [...this.#running];
    for (const { pid } of running) {
      try {
        process.kill(-pid, "SIGTERM");
      } catch {
        // It has ended meanwhile.
      }
    }
    await Promise.all(running.map(({ exited }) => exited));
    rmSync(this.directory, { recursive: true, force: true });
  }
}
