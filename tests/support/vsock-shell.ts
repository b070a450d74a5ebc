/** vsock-shell's peers for tests: our server, the stand-ins for the C programs, raw messages. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, writeSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { GROUP_GUARD_WORD } from "../../src/process/group-guard-word.ts";
import { BINARY, eventually, Running, type RunOptions, ScratchDirectory } from "./binary.ts";

const SOURCES = join(import.meta.dir, "../fixtures/vsock-shell");

let compiled: ScratchDirectory | undefined;

/** The stand-ins, compiled once a process. */
function standIn(name: "client" | "server"): string {
  if (compiled === undefined) {
    const scratch = new ScratchDirectory();
    for (const [program, libraries] of [
      ["client", []],
      ["server", ["-lutil"]],
    ] as const) {
      const source = join(SOURCES, `${program}.c`);
      const { exitCode, stderr } = Bun.spawnSync([
        ...["gcc", "-O2", "-Wall", "-Wextra", "-Wno-format-truncation", "-Werror"],
        ...["-o", scratch.file(program), source, ...libraries],
      ]);
      if (exitCode !== 0) throw new Error(stderr.toString());
    }
    compiled = scratch;
    process.on("exit", () => scratch[Symbol.dispose]());
  }
  return compiled.file(name);
}

function isGuard(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(GROUP_GUARD_WORD);
  } catch {
    return false;
  }
}

/** How many descriptors a process has, without those that it has once: epolls, events, memory. */
function sessionDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((name) => {
    try {
      return !/^(anon_inode:|\/memfd:)/.test(readlinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      return false;
    }
  }).length;
}

/** Our server on a Unix socket in a directory of its own. */
export class TestShellServer implements AsyncDisposable {
  readonly scratch = new ScratchDirectory();
  readonly path = this.scratch.file("shell.sock");
  readonly address = `unix:${this.path}`;
  readonly running: Running;

  private constructor(args: readonly string[], options: RunOptions) {
    this.running = new Running(["shell-server", "--listen", this.address, ...args], options);
  }

  /** Starts it and waits until it listens. */
  static async start(
    args: readonly string[] = [],
    options: RunOptions = {},
  ): Promise<TestShellServer> {
    const server = new TestShellServer(args, options);
    await server.running.says("listening on");
    return server;
  }

  /** Descriptors that are open, children, and memory in MiB. */
  state(): { descriptors: number; children: number; rssMib: number } {
    const { pid } = this.running;
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    const all = text.split(" ").filter((child) => child.trim() !== "");
    const children = all.filter((child) => !isGuard(child));
    // The helper stays from the first session on, and with it the pipe whose end it waits for.
    const pipes = all.length - children.length;
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return {
      descriptors: sessionDescriptors(pid) - pipes,
      children: children.length,
      rssMib: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024,
    };
  }

  /** Waits until descriptors and children are what they were. */
  async returnsTo(before: { descriptors: number; children: number }): Promise<void> {
    await eventually(`${JSON.stringify(before)} again, not ${JSON.stringify(this.state())}`, () => {
      const { descriptors, children } = this.state();
      return descriptors <= before.descriptors && children <= before.children;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.running[Symbol.asyncDispose]();
    this.scratch[Symbol.dispose]();
  }
}

/** The stand-in for the C server. */
export class CShellServer implements AsyncDisposable {
  readonly scratch = new ScratchDirectory();
  readonly path = this.scratch.file("c.sock");
  readonly address = `unix:${this.path}`;
  readonly #process = Bun.spawn([standIn("server"), this.path], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  /** What it has said of what went wrong. */
  said = "";

  static async start(): Promise<CShellServer> {
    const server = new CShellServer();
    void server.#read();
    await eventually("it listens", () => server.said.includes("listening\n"));
    server.said = "";
    return server;
  }

  async #read(): Promise<void> {
    for await (const chunk of this.#process.stderr) this.said += new TextDecoder().decode(chunk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
    this.scratch[Symbol.dispose]();
  }
}

/** The stand-in for the C client, running. */
export function startCClient(path: string, ...words: string[]) {
  return Bun.spawn([standIn("client"), path, ...words], { stdio: ["pipe", "pipe", "pipe"] });
}

/** The command line of the stand-in for the C client, for a terminal. */
export function cClientLine(path: string, ...words: string[]): string {
  return [standIn("client"), path, ...words].join(" ");
}

/** Runs the stand-in for the C client to its end; its input stays open, as a terminal's does. */
export async function runCClient(path: string, ...words: string[]) {
  const child = startCClient(path, ...words);
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, stdout, stderr };
}

/** A file of random bytes. */
export function makeFile(path: string, bytes: number): string {
  const block = new Uint8Array(Math.min(Math.max(bytes, 4), 1024 * 1024));
  for (let at = 0; at < block.length; at += 65_536) {
    crypto.getRandomValues(block.subarray(at, at + 65_536));
  }
  const fd = openSync(path, "w");
  for (let left = bytes, index = 0; left > 0; left -= block.length, index++) {
    // No two blocks are the same: one in another's place must be noticed.
    new DataView(block.buffer).setUint32(0, index);
    writeSync(fd, block, 0, Math.min(left, block.length));
  }
  closeSync(fd);
  return path;
}

/** The sha256 of a file. */
export async function sha256(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest("hex");
}

/** One message by hand. */
export function raw(type: number, data: Uint8Array | string = "", magic = 0xcafe_babe): Buffer {
  const bytes = Buffer.from(data as string);
  const head = Buffer.alloc(12);
  head.writeUInt32LE(magic, 0);
  head.writeUInt32LE(type, 4);
  head.writeUInt32LE(bytes.length, 8);
  return Buffer.concat([head, bytes]);
}

/** A connection of raw messages. */
export class RawShell {
  readonly socket: Socket;
  #bytes = Buffer.alloc(0);
  #isClosed = false;
  #changed = Promise.withResolvers<void>();

  constructor(path: string) {
    this.socket = connect({ path });
    const notify = () => {
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    };
    this.socket.on("data", (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk as Buffer]);
      notify();
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.#isClosed = true;
      notify();
    });
  }

  send(...parts: Uint8Array[]): this {
    for (const part of parts) this.socket.write(part);
    return this;
  }

  /** The next message; undefined at the end. */
  async next(): Promise<{ type: number; data: Buffer } | undefined> {
    for (;;) {
      const length = this.#bytes.length >= 12 ? this.#bytes.readUInt32LE(8) : Infinity;
      if (this.#bytes.length >= 12 + length) {
        const type = this.#bytes.readUInt32LE(4);
        const data = this.#bytes.subarray(12, 12 + length);
        this.#bytes = this.#bytes.subarray(12 + length);
        return { type, data };
      }
      if (this.#isClosed) return undefined;
      await this.#changed.promise;
    }
  }

  /** The next message of this type. */
  async until(type: number): Promise<Buffer> {
    for (;;) {
      const message = await this.next();
      if (message === undefined) throw new Error(`closed before a message of type ${type}`);
      if (message.type === type) return message.data;
    }
  }

  /** All messages up to the end. */
  async rest(): Promise<{ type: number; data: Buffer }[]> {
    const messages = [];
    for (let next = await this.next(); next !== undefined; next = await this.next()) {
      messages.push(next);
    }
    return messages;
  }

  close(): void {
    this.socket.destroy();
  }
}

export { BINARY };
