/**
 * A directory that `vsockbox export` serves on a Unix socket and `vsockbox mount` mounts, in a mount
 * namespace of its own: nothing of the machine's own tree is touched.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BINARY, Running, type RunResult, ScratchDirectory } from "./binary.ts";
import { MountNamespace } from "./mount-namespace.ts";

/** Limit of one command in the namespace, in seconds: a hang is a failure of the test. */
const COMMAND_SECONDS = 100;

/** Settings of {@link MountedExport.start}. */
export interface MountedOptions {
  exportArgs?: readonly string[];
  mountArgs?: readonly string[];
}

/** An export and its mount. */
export class MountedExport implements AsyncDisposable {
  readonly scratch = new ScratchDirectory();
  readonly source = this.scratch.file("src");
  readonly target = this.scratch.file("mnt");
  readonly address = `unix:${this.scratch.file("vfs.sock")}`;
  readonly namespace: MountNamespace;
  readonly #exportArgs: readonly string[];
  readonly #runs: Running[] = [];
  #host: Running | undefined;
  #mount: Running | undefined;

  private constructor(namespace: MountNamespace, exportArgs: readonly string[]) {
    this.namespace = namespace;
    this.#exportArgs = exportArgs;
    mkdirSync(this.source);
    mkdirSync(this.target);
  }

  /** Makes the directories and the namespace for a host that a test starts at {@link address}. */
  static async withoutHost(): Promise<MountedExport> {
    return new MountedExport(await MountNamespace.make(), []);
  }

  /** Starts the export alone. */
  static async exportOnly({ exportArgs = [] }: MountedOptions = {}): Promise<MountedExport> {
    const made = new MountedExport(await MountNamespace.make(), exportArgs);
    await made.startHost();
    return made;
  }

  /** Starts the export, then the mount; resolves when files can be used. */
  static async start(options: MountedOptions = {}): Promise<MountedExport> {
    const made = await MountedExport.exportOnly(options);
    await made.startMount(options.mountArgs);
    return made;
  }

  #run(args: readonly string[], through: readonly string[] = []): Running {
    const running = new Running(args, { through });
    this.#runs.push(running);
    return running;
  }

  get host(): Running {
    if (this.#host === undefined) throw new Error("the host's side does not run");
    return this.#host;
  }

  get mount(): Running {
    if (this.#mount === undefined) throw new Error("nothing is mounted");
    return this.#mount;
  }

  /** Starts the host's side, also again after {@link killHost}. */
  async startHost(): Promise<void> {
    const where = ["--listen", this.address];
    this.#host = this.#run(["export", this.source, ...where, ...this.#exportArgs]);
    await this.#host.says("listening on");
  }

  /** Ends the host's side as a crash does. */
  async killHost(): Promise<void> {
    this.host.process.kill("SIGKILL");
    await this.host.process.exited;
  }

  /** Starts the mount; resolves with the line that it prints when files can be used. */
  async startMount(args: readonly string[] = [], address = this.address): Promise<string> {
    const words = ["mount", address, this.target, ...args];
    this.#mount = this.#run(words, this.namespace.through);
    const reader = this.mount.process.stdout.getReader();
    const { value, done } = await reader.read();
    reader.releaseLock();
    if (done) throw new Error(`the mount has ended: ${this.mount.stderr}`);
    return new TextDecoder().decode(value);
  }

  /** Starts a line of bash in the namespace, in the mount. */
  spawn(line: string, cwd = this.target) {
    const script = `cd ${cwd} && ${line}`;
    return Bun.spawn(
      [
        ...["timeout", "-k", "5", String(COMMAND_SECONDS)],
        ...[...this.namespace.through, "bash", "-c", script],
      ],
      {
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          ...process.env,
          ...{ LC_ALL: "C", VSOCKBOX_NO_VSOCK: "1", NO_COLOR: "1", VSOCKBOX: BINARY },
        },
      },
    );
  }

  /** Runs a line of bash in the namespace, in the mount. */
  async run(line: string, cwd?: string): Promise<RunResult> {
    const child = this.spawn(line, cwd);
    const [stdout, stderr, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { stdout, stderr, status };
  }

  /** The standard output of a line that must succeed. */
  async output(line: string, cwd?: string): Promise<string> {
    const { stdout, stderr, status } = await this.run(line, cwd);
    if (status !== 0) throw new Error(`${line}: status ${status}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Whether it is mounted, as another process of the namespace sees it. */
  async isMounted(): Promise<boolean> {
    const { status } = await this.run(`grep -q ' ${this.target} fuse' /proc/self/mounts`, "/");
    return status === 0;
  }

  /** A path on the host's side. */
  file(name: string): string {
    return join(this.source, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#runs) await running[Symbol.asyncDispose]();
    await this.namespace[Symbol.asyncDispose]();
    this.scratch[Symbol.dispose]();
  }
}
