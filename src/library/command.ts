/** Commands in the guest, for the library. */
import type { RemoteExit, RemoteProcess } from "../agent/client/remote-process.ts";
import { VsockboxError } from "../errors.ts";
import { onAbort } from "../io/deadline.ts";
import { signalNumber } from "../process/exit-status.ts";
import type { Program } from "../protocols/agent/program.ts";
import type { AgentLink } from "./agent-link.ts";

/** Options of `exec` and `spawn`. */
export interface CommandOptions {
  /** Added to the agent's environment. */
  env?: Record<string, string>;
  cwd?: string;
  /** `uid`, `uid:gid` or a name of the guest. */
  user?: string;
  /** Confinement in addition to the agent's own: no-new-privs, drop-caps, pid-namespace, seccomp, all. */
  sandbox?: readonly string[];
  /** Fires to end the command. */
  signal?: AbortSignal;
}

/** The result of a finished command. */
export interface CommandResult extends RemoteExit {
  stdout: Uint8Array;
  stderr: Uint8Array;
  /** Standard output as text. */
  text(): string;
}

/** A command that runs. Iterate it for its output. */
export interface RunningCommand extends AsyncIterable<{
  stream: "stdout" | "stderr";
  bytes: Uint8Array;
}> {
  /** Sends input; resolves when more is accepted. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** The end of its input. */
  endInput(): void;
  /** Sends a signal, by name or number, to its process group. */
  kill(signal?: NodeJS.Signals | number): void;
  /** Sends a terminal's new size. */
  resize(rows: number, cols: number): void;
  /** Its exit status. Unread output blocks a command, so read it. */
  readonly exited: Promise<RemoteExit>;
}

/** A vector runs without a shell, a string as a line of the user's shell. */
export type CommandLine = string | readonly [string, ...string[]];

/**
 * Starts a command.
 *
 * @throws {TypeError} for an empty vector, and for a NUL character.
 */
export function spawn(
  link: AgentLink,
  command: CommandLine,
  options: CommandOptions & { tty?: { rows: number; cols: number }; input?: boolean },
): RunningCommand {
  const remote = link.spawn({
    program: programOf(command),
    workingDir: options.cwd === undefined ? undefined : Buffer.from(options.cwd),
    env: Object.entries(options.env ?? {}).map(([name, value]) => settingOf(name, value)),
    user: options.user,
    sandbox: options.sandbox,
    tty: options.tty,
    input: options.input ?? true,
  });
  endOn(options.signal, remote);
  return {
    write: (bytes) => remote.write(typeof bytes === "string" ? Buffer.from(bytes) : bytes),
    endInput: () => remote.endInput(),
    kill: (signal = "SIGTERM") => remote.signal(numberOf(signal)),
    resize: (rows, cols) => remote.resize({ rows, cols }),
    exited: remote.exited,
    [Symbol.asyncIterator]: () => remote[Symbol.asyncIterator](),
  };
}

/** Runs a command to its end and collects its output. */
export async function exec(
  link: AgentLink,
  command: CommandLine,
  options: CommandOptions & { stdin?: Uint8Array | string },
): Promise<CommandResult> {
  const running = spawn(link, command, { ...options, input: options.stdin !== undefined });
  if (options.stdin !== undefined) {
    // Input and output at once: a command may write before it has read all.
    void running.write(options.stdin).then(
      () => running.endInput(),
      () => undefined,
    );
  }
  const output: Record<"stdout" | "stderr", Uint8Array[]> = { stdout: [], stderr: [] };
  for await (const { stream, bytes } of running) output[stream].push(bytes);
  const exit = await running.exited;
  const stdout = Buffer.concat(output.stdout);
  return { ...exit, stdout, stderr: Buffer.concat(output.stderr), text: () => stdout.toString() };
}

/**
 * Returns the program of a command.
 *
 * @throws {TypeError} for an empty vector, and for a NUL character.
 */
export function programOf(command: CommandLine): Program {
  if (typeof command === "string") {
    assertText("the command", command);
    return { kind: "shell-line", line: Buffer.from(command) };
  }
  if (command.length === 0) throw new TypeError("the command has no words");
  const argv = command.map((word) => {
    assertText("an argument", word);
    return Buffer.from(word);
  });
  return { kind: "vector", argv };
}

/**
 * Returns a setting of the environment as `NAME=VALUE`.
 *
 * @throws {TypeError} for an invalid name, and for a NUL character.
 */
export function settingOf(name: string, value: string): Uint8Array {
  if (name === "" || name.includes("=")) {
    throw new TypeError(`${JSON.stringify(name)} is not a name of a variable`);
  }
  assertText("a variable", name);
  assertText("a variable", value);
  return Buffer.from(`${name}=${value}`);
}

/** NUL, which C strings cannot contain. */
function assertText(what: string, text: unknown): void {
  if (typeof text !== "string") throw new TypeError(`${what} is not a string`);
  if (text.includes("\0")) throw new TypeError(`${what} has a NUL character`);
}

function numberOf(signal: NodeJS.Signals | number): number {
  const number = typeof signal === "number" ? signal : signalNumber(signal);
  if (number !== undefined) return number;
  throw new VsockboxError({
    code: "USAGE",
    operation: "kill",
    message: `unknown signal ${signal}`,
  });
}

function endOn(signal: AbortSignal | undefined, remote: RemoteProcess): void {
  if (signal === undefined) return;
  const leave = () =>
    remote.leave(
      new VsockboxError({
        code: "ABORTED",
        operation: "run command",
        message: "it was aborted by its signal",
        cause: signal.reason,
      }),
    );
  const watch = onAbort(signal, leave);
  const forget = () => watch[Symbol.dispose]();
  remote.exited.then(forget, forget);
}
