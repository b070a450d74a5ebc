/** A mount on this machine, in the mount namespace of this process. */
import { join } from "node:path";
import type { CacheMode } from "../../src/vfs/mount/cache-policy.ts";
import { Running } from "../support/binary.ts";
import { type MountedSide, runLine } from "./mounted-side.ts";

/** Limit of a line: a hang is a failure. */
const LINE_SECONDS = 900;

/** What {@link NamespaceSide} uses; all exist. */
export interface NamespaceOptions {
  exported: string;
  target: string;
  home: string;
}

/** An export on a Unix socket, and its mount. */
export class NamespaceSide implements MountedSide {
  readonly isEmulated = false;
  readonly #options: NamespaceOptions;
  readonly #address: string;
  readonly #host: Running;
  #mount: Running | undefined;

  private constructor(options: NamespaceOptions) {
    this.#options = options;
    this.#address = `unix:${join(options.home, "export.sock")}`;
    this.#host = new Running(["export", options.exported, "--listen", this.#address]);
  }

  static async start(options: NamespaceOptions): Promise<NamespaceSide> {
    const side = new NamespaceSide(options);
    await side.#host.says("listening on");
    return side;
  }

  async mount(cache: CacheMode): Promise<void> {
    this.#mount = new Running(["mount", this.#address, this.#options.target, "--cache", cache]);
    const reader = this.#mount.process.stdout.getReader();
    const { done } = await reader.read();
    reader.releaseLock();
    if (done) throw new Error(`it was not mounted: ${this.#mount.stderr}`);
  }

  async unmount(): Promise<void> {
    this.#mount?.process.kill();
    await this.#mount?.process.exited;
    this.#mount = undefined;
  }

  async run(line: string, directory: string): Promise<string> {
    const { target, home } = this.#options;
    const where = { line, directory: join(target, directory), seconds: LINE_SECONDS };
    return await runLine(where, home);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount();
    await this.#host[Symbol.asyncDispose]();
  }
}
