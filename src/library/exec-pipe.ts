/** `execPipe` of the Go vsock package: one command with all its streams over a connection of the caller. */
import { GoCommand } from "../agent/client/go-command.ts";
import { feedInput, type RemoteExit } from "../agent/client/remote-process.ts";
import { VsockboxError } from "../errors.ts";
import { onAbort } from "../io/deadline.ts";
import { goCommandLine, goEnvironmentOf } from "../protocols/agent/go-command.ts";
import { type CommandLine, type CommandResult, programOf, settingOf } from "./command.ts";
import { type WireConn, WireExchange } from "./wire-exchange.ts";
import { EXEC_STEPS, inWireSteps } from "./wire-steps.ts";

/** Receives output; the next piece waits until it has returned. */
export type OutputTarget =
  WritableStream<Uint8Array> | ((bytes: Uint8Array) => void | Promise<void>);

/** Options of `execPipe`. */
export interface ExecPipeOptions {
  /** Added to the agent's environment. */
  env?: Record<string, string>;
  cwd?: string;
  /** `uid`, `uid:gid` or a name of the guest. */
  user?: string;
  /** Standard input (default: empty). A source that fails ends the command. */
  stdin?: Uint8Array | string | AsyncIterable<Uint8Array | string> | undefined;
  /** Receives standard output, which the result then does not have. */
  stdout?: OutputTarget | undefined;
  /** Receives standard error, likewise. */
  stderr?: OutputTarget | undefined;
  /** Fires to end the command, by closing the connection. */
  signal?: AbortSignal | undefined;
}

/**
 * Runs a command with its streams over a connection to an agent, of vsockbox or of matchlock. The connection
 * is closed at the end, whatever that is. A string is a line for `sh -c`; the words of a vector are quoted
 * into such a line. A command that could not be started has exit code 1 and the reason on standard error.
 *
 * @throws {VsockboxError} TRANSPORT if the connection ended before the exit status came, REFUSED with the
 * agent's reason, BAD_DATA, ABORTED by the signal.
 * @throws {TypeError} for a command without words.
 */
export async function execPipe(
  conn: WireConn,
  command: CommandLine,
  options: ExecPipeOptions = {},
): Promise<CommandResult> {
  try {
    return await inWireSteps(EXEC_STEPS, () => runOver(new WireExchange(conn), command, options));
  } finally {
    await conn.close();
  }
}

async function runOver(
  exchange: WireExchange,
  command: CommandLine,
  options: ExecPipeOptions,
): Promise<CommandResult> {
  const { signal } = options;
  using _abort = onAbort(signal, () => exchange.abort(endedBySignal(signal)));
  const remote = await GoCommand.start(exchange, requestOf(command, options), {
    address: "the agent",
    input: true,
    tty: undefined,
  });
  void feedInput(remote, chunksOf(options.stdin));
  const stdout = new Output(options.stdout);
  const stderr = new Output(options.stderr);
  try {
    for await (const { stream, bytes } of remote) {
      await (stream === "stdout" ? stdout : stderr).write(bytes);
    }
    const exit = await remote.exited;
    return resultOf(exit, await stdout.finish(), await stderr.finish());
  } catch (thrown) {
    stdout.fail(thrown);
    stderr.fail(thrown);
    throw thrown;
  }
}

function requestOf(command: CommandLine, options: ExecPipeOptions) {
  const program = programOf(command);
  // As the Go package sends it: the agent's own shell reads the line.
  const line =
    typeof command === "string"
      ? { command, args: [], env: {} }
      : goCommandLine(program, { mayHaveArgs: false });
  const settings = Object.entries(options.env ?? {}).map(([name, value]) => settingOf(name, value));
  return {
    command: line.command,
    args: line.args,
    workingDir: options.cwd,
    env: { ...goEnvironmentOf(settings), ...line.env },
    user: options.user,
  };
}

function resultOf(exit: RemoteExit, stdout: Uint8Array, stderr: Uint8Array): CommandResult {
  return { ...exit, stdout, stderr, text: () => Buffer.from(stdout).toString() };
}

async function* chunksOf(source: ExecPipeOptions["stdin"]): AsyncGenerator<Uint8Array> {
  if (source === undefined) return;
  if (typeof source === "string" || source instanceof Uint8Array) yield bytesOf(source);
  else for await (const chunk of source) yield bytesOf(chunk);
}

/** @throws {TypeError} for anything but bytes and text. */
function bytesOf(chunk: Uint8Array | string): Uint8Array {
  if (typeof chunk === "string") return Buffer.from(chunk);
  if (chunk instanceof Uint8Array) return chunk;
  throw new TypeError("standard input yields neither bytes nor text");
}

function endedBySignal(signal: AbortSignal | undefined): VsockboxError {
  return new VsockboxError({
    code: "ABORTED",
    operation: "run command",
    message: "it was ended by its signal",
    cause: signal?.reason,
  });
}

/** One of a command's two outputs: collected, or passed on. */
class Output {
  readonly #sink: OutputTarget | undefined;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  readonly #chunks: Uint8Array[] = [];

  constructor(sink: OutputTarget | undefined) {
    this.#sink = sink;
    this.#writer = sink instanceof WritableStream ? sink.getWriter() : undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#writer !== undefined) await this.#writer.write(bytes);
    else if (typeof this.#sink === "function") await this.#sink(bytes);
    else this.#chunks.push(bytes);
  }

  /** Closes a stream that it was passed on to, and returns the collected bytes. */
  async finish(): Promise<Uint8Array> {
    await this.#writer?.close();
    return Buffer.concat(this.#chunks);
  }

  fail(reason: unknown): void {
    this.#writer?.abort(reason).catch(() => undefined);
  }
}
