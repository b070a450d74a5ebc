/** Root file systems that hold the executable and what a test puts there, and nothing else. */
import { chmodSync, constants, copyFileSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { BINARY, type RunResult, ScratchDirectory } from "./binary.ts";

/** Where the executable is in such a root. */
export const BARE_BINARY = "/vsockbox";

/** A directory to be a root: at first without so much as a /proc or a /dev. */
export class BareRoot implements Disposable {
  readonly #scratch = new ScratchDirectory();
  readonly path = this.#scratch.path;

  constructor(binary = BINARY) {
    chmodSync(this.path, 0o755);
    this.copy(binary, BARE_BINARY);
  }

  /** Where a path of the root is for us. */
  at(path: string): string {
    return `${this.path}${path}`;
  }

  /** Puts a file of this machine there, with the same mode. */
  copy(source: string, path: string): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    // No hard link: what happens to the root is not to happen to the machine.
    copyFileSync(source, this.at(path), constants.COPYFILE_FICLONE);
  }

  /** Makes a directory. */
  scratch(path: string, mode = 0o755): void {
    mkdirSync(this.at(path), { recursive: true });
    chmodSync(this.at(path), mode);
  }

  /** The words that run a command in it, as root of this machine or of a user namespace. */
  enter(user?: string): string[] {
    if (process.getuid?.() === 0) {
      return ["chroot", ...(user === undefined ? [] : [`--userspec=${user}`]), this.path];
    }
    return ["unshare", "--user", "--map-root-user", "chroot", this.path];
  }

  /** Runs a command in it to its end. */
  run(
    command: readonly string[],
    { user, env = {} }: { user?: string; env?: Record<string, string> } = {},
  ): RunResult {
    const { exitCode, signalCode, stdout, stderr } = Bun.spawnSync(
      [...this.enter(user), ...command],
      { stdin: "ignore", env: { PATH: process.env["PATH"], VSOCKBOX_NO_VSOCK: "1", ...env } },
    );
    if (signalCode !== undefined) throw new Error(`${signalCode}: ${stderr.toString()}`);
    return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}
