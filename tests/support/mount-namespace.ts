/** A mount namespace of a test's own: what is mounted in it ends with its last process. */
import { existsSync, readlinkSync } from "node:fs";

/** Why mounts cannot be tested here; undefined if they can. */
export const NO_MOUNTS: string | undefined = (() => {
  if (!existsSync("/dev/fuse")) return "/dev/fuse is missing";
  if (process.getuid?.() !== 0) return "mount(2) needs root";
  const tried = Bun.spawnSync(["unshare", "-m", "--propagation", "private", "true"]);
  return tried.exitCode === 0 ? undefined : "mount namespaces are refused";
})();

/** A namespace, held by a process. */
export class MountNamespace implements AsyncDisposable {
  readonly #holder: Bun.Subprocess<"pipe", "pipe", "inherit">;

  private constructor(holder: Bun.Subprocess<"pipe", "pipe", "inherit">) {
    this.#holder = holder;
  }

  static async make(): Promise<MountNamespace> {
    const holder = Bun.spawn(
      ["unshare", "-m", "--propagation", "private", "--", "sh", "-c", "echo made; exec cat"],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    const reader = holder.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    // Nothing may be mounted in the namespace of the machine.
    const [own, made] = ["self", String(holder.pid)].map((pid) =>
      readlinkSync(`/proc/${pid}/ns/mnt`),
    );
    if (own === made) throw new Error("the mount namespace was not made");
    return new MountNamespace(holder);
  }

  /** The words that run a program in the namespace. */
  get through(): readonly string[] {
    return ["nsenter", `--mount=/proc/${this.#holder.pid}/ns/mnt`, "--"];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#holder.kill("SIGKILL");
    await this.#holder.exited;
  }
}
