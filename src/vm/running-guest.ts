/** A guest that runs: shell lines over its control channel, its console, its end. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { VsockboxError } from "../errors.ts";
import { parseJson } from "../json/bounded-json.ts";
import { closeDescriptor, openPipe } from "../ffi/socket.ts";
import { PIECE_CHARACTERS } from "./guest-image.ts";
import type { VmmProcess } from "./machine.ts";

/** The result of a shell line in the guest. */
export interface GuestResult {
  status: number;
  stdout: Uint8Array;
  stderr: Uint8Array;
}

/** Of a command, in errors. */
const SHOWN_CHARACTERS = 500;

/** A running guest. */
export class Guest implements AsyncDisposable, Disposable {
  /** The directory of its files, which the command lines of its processes contain. */
  readonly directory: string;
  readonly #vmm: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #supervised: boolean;
  /** The write end of the pipe that a supervisor watches. */
  #lifeline: number | undefined;
  readonly #pending = new Map<string, PromiseWithResolvers<GuestResult>>();
  /** Lines that the guest has not acknowledged, the first of them sent. */
  readonly #untaken: PromiseWithResolvers<void>[] = [];
  readonly #ready = Promise.withResolvers<void>();
  /** Resolves when no process has the VM's output open any longer. */
  readonly #silent: Promise<unknown>;
  #complaint = "";
  #nextId = 1;
  #stopped = false;

  constructor(directory: string, { command, environment, supervised }: VmmProcess) {
    this.directory = directory;
    this.#supervised = supervised;
    const lifeline = supervised ? openPipe() : undefined;
    try {
      this.#vmm = Bun.spawn(command, {
        stdio: ["pipe", "pipe", "pipe", ...(lifeline === undefined ? [] : [lifeline.read])],
        // Ctrl-C is for us: a supervisor has to be there to the end.
        detached: supervised,
        ...(environment === undefined ? {} : { env: environment }),
      });
    } finally {
      if (lifeline !== undefined) closeDescriptor(lifeline.read);
    }
    this.#lifeline = lifeline?.write;
    this.#silent = Promise.all([this.#readAnswers(), this.#readComplaint()]);
    void this.#watch();
  }

  /** Resolves when the VM has ended, for any reason. */
  get ended(): Promise<unknown> {
    return this.#vmm.exited;
  }

  /** What the guest has written to its console so far. */
  consoleLog(): string {
    const path = join(this.directory, "console.log");
    return existsSync(path) ? readFileSync(path, "utf8") : this.#complaint;
  }

  /** Resolves when the guest accepts commands. */
  async ready(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => {
      this.#ready.reject(this.#failure("TIMEOUT", `it is not up after ${timeoutMs / 1000} s`));
      void this.stop();
    }, timeoutMs);
    try {
      await this.#ready.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Runs a line in the guest's shell. Several may run at once.
   *
   * @throws {VsockboxError} TIMEOUT or UNAVAILABLE, with the console's text, if no answer comes.
   */
  async run(line: string, { timeoutMs = 60_000 } = {}): Promise<GuestResult> {
    if (this.#stopped) throw this.#failure("UNAVAILABLE", "it is stopped");
    const id = String(this.#nextId++);
    const answer = Promise.withResolvers<GuestResult>();
    this.#pending.set(id, answer);
    const timer = setTimeout(() => {
      const message = `no answer after ${timeoutMs / 1000} s to: ${line.slice(0, SHOWN_CHARACTERS)}`;
      answer.reject(this.#failure("TIMEOUT", message));
    }, timeoutMs);
    try {
      this.#send(id, Buffer.from(line).toString("base64")).catch(answer.reject);
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  /** Sends a command in pieces; others may get their turn between them. */
  async #send(id: string, text: string): Promise<void> {
    for (let at = 0; at < text.length || at === 0; at += PIECE_CHARACTERS) {
      const kind = at + PIECE_CHARACTERS < text.length ? "+" : ".";
      const before = this.#untaken.at(-1);
      const taken = Promise.withResolvers<void>();
      this.#untaken.push(taken);
      await before?.promise;
      this.#vmm.stdin.write(`${id} ${kind} ${text.slice(at, at + PIECE_CHARACTERS)}\n`);
      await this.#vmm.stdin.flush();
      await taken.promise;
    }
  }

  /** Ends the guest at once, as a power cut does: SIGKILL for all processes of its VMM. */
  async kill(): Promise<void> {
    this.#end();
    await this.#vmm.exited;
    await this.#silent;
  }

  /** Ends the guest and removes its files. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Ends the guest at once, for exit handlers. */
  [Symbol.dispose](): void {
    this.#end();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #end(): void {
    this.#stopped = true;
    this.#ready.promise.catch(() => undefined);
    if (!this.#supervised) this.#vmm.kill("SIGKILL");
    if (this.#lifeline !== undefined) closeDescriptor(this.#lifeline);
    this.#lifeline = undefined;
  }

  async #readAnswers(): Promise<void> {
    const decoder = new TextDecoder();
    let parts: string[] = [];
    for await (const chunk of this.#vmm.stdout) {
      const lines = decoder.decode(chunk, { stream: true }).split("\n");
      for (const [index, part] of lines.entries()) {
        parts.push(part);
        if (index === lines.length - 1) continue;
        this.#onLine(parts.join(""));
        parts = [];
      }
    }
  }

  #onLine(line: string): void {
    const answer = answerOf(line);
    if (answer === undefined) return;
    if ("ready" in answer) return this.#ready.resolve();
    if ("taken" in answer) return this.#untaken.shift()?.resolve();
    this.#pending.get(String(answer.id))?.resolve({
      status: answer.status,
      stdout: Buffer.from(answer.stdout, "base64"),
      stderr: Buffer.from(answer.stderr, "base64"),
    });
  }

  async #readComplaint(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#vmm.stderr) {
      this.#complaint += decoder.decode(chunk, { stream: true });
    }
  }

  /** Unless it was requested, the end of the VM rejects all pending calls. */
  async #watch(): Promise<void> {
    await this.#vmm.exited;
    await this.#silent;
    const error = this.#failure("UNAVAILABLE", `it has ended. ${this.#complaint.trim()}`);
    this.#end();
    this.#ready.reject(error);
    for (const answer of this.#pending.values()) answer.reject(error);
  }

  #failure(code: "TIMEOUT" | "UNAVAILABLE", message: string): VsockboxError {
    return new VsockboxError({
      code,
      operation: "run the guest",
      message: `${message}\n--- console ---\n${this.consoleLog()}--- end of console ---`,
    });
  }
}

type Answer =
  | { ready: true }
  | { taken: true }
  | { id: number; status: number; stdout: string; stderr: string };

/** Undefined for a line that a reboot has truncated: no caller waits for it any longer. */
function answerOf(line: string): Answer | undefined {
  try {
    return parseJson("answer", Buffer.from(line)) as Answer;
  } catch {
    return undefined;
  }
}
