/** The compiled executable under test, and how tests run it. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { ScratchDirectory } from "./scratch-directory.ts";

export { eventually } from "./eventually.ts";

export { ScratchDirectory } from "./scratch-directory.ts";

/** dist/vsockbox; VSOCKBOX_BINARY names another one. */
export const BINARY =
  process.env["VSOCKBOX_BINARY"] ?? join(import.meta.dir, "../../dist/vsockbox");

if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: run \`npm run build\` first`);

/** What a finished run of the executable gave. */
export interface RunResult {
  status: number;
  stdout: string;
  stderr: string;
}

/** Options of {@link vsockbox} and {@link start}. */
export interface RunOptions {
  stdin?: string | Uint8Array<ArrayBuffer> | Blob;
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** A program that becomes the executable, or starts it, and its arguments. */
  through?: readonly string[];
  /** Another executable than {@link BINARY}, by its path for `through`. */
  binary?: string;
}

const environment = (env: RunOptions["env"]) => ({
  ...process.env,
  NO_COLOR: "1",
  VSOCKBOX_NO_VSOCK: "1",
  ...env,
});

/** Runs the executable to its end. */
export async function vsockbox(
  args: readonly string[],
  { stdin = "", env, cwd }: RunOptions = {},
): Promise<RunResult> {
  const child = Bun.spawn([BINARY, ...args], {
    stdin: stdin instanceof Blob ? stdin : new Blob([stdin]),
    stdout: "pipe",
    stderr: "pipe",
    env: environment(env),
    ...(cwd === undefined ? {} : { cwd }),
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, stdout, stderr };
}

/** Runs a bash line in which `vsockbox` is the executable under test. */
export async function shell(line: string, { env, cwd }: RunOptions = {}): Promise<RunResult> {
  const child = Bun.spawn(["bash", "-c", line], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: environment({
      VSOCKBOX: BINARY,
      PATH: `${dirname(BINARY)}:${process.env["PATH"] ?? ""}`,
      ...env,
    }),
    ...(cwd === undefined ? {} : { cwd }),
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, stdout, stderr };
}

/** A running executable, ended when the test is over. */
export class Running implements AsyncDisposable {
  readonly process: Bun.Subprocess<"pipe", "pipe", "pipe">;
  #stderr = "";
  #hasEnded = false;
  readonly #changed: (() => void)[] = [];
  readonly stderrDone: Promise<void>;

  constructor(
    args: readonly string[],
    { env, cwd, through = [], binary = BINARY }: RunOptions = {},
  ) {
    this.process = Bun.spawn([...through, binary, ...args], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: environment(env),
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.stderrDone = this.#readStderr();
  }

  get pid(): number {
    return this.process.pid;
  }

  /** What it has written to standard error so far. */
  get stderr(): string {
    return this.#stderr;
  }

  async #readStderr(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.process.stderr) {
      this.#stderr += decoder.decode(chunk, { stream: true });
      for (const notify of this.#changed.splice(0)) notify();
    }
    this.#hasEnded = true;
    for (const notify of this.#changed.splice(0)) notify();
  }

  /** Waits until standard error contains `text`. */
  async says(text: string): Promise<void> {
    while (!this.#stderr.includes(text)) {
      if (this.#hasEnded) throw new Error(`it ended with: ${this.#stderr}`);
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
  }
}

/** An agent on a Unix socket in a directory of its own. */
export class TestAgent implements AsyncDisposable {
  readonly scratch = new ScratchDirectory();
  readonly path = this.scratch.file("agent.sock");
  readonly address = `unix:${this.path}`;
  readonly running: Running;

  private constructor(args: readonly string[], options: RunOptions) {
    this.running = new Running(["agent", "--listen", this.address, ...args], options);
  }

  /** Starts it and waits until it listens. */
  static async start(args: readonly string[] = [], options: RunOptions = {}): Promise<TestAgent> {
    const agent = new TestAgent(args, options);
    await agent.running.says("listening on");
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.running[Symbol.asyncDispose]();
    this.scratch[Symbol.dispose]();
  }
}

/** Pids of live processes whose command line contains `text`. */
export function processesWith(text: string): number[] {
  const { stdout } = Bun.spawnSync(["ps", "-eo", "pid=,stat=,args="]);
  return stdout
    .toString()
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((match) => match?.[3]?.includes(text) === true && match[2]?.startsWith("Z") !== true)
    .map((match) => Number(match?.[1]));
}
