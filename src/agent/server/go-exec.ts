/** Running one command for one connection: Exec, ExecStream and ExecPipe. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import type { ExitStatus } from "../../process/exit-status.ts";
import { type Child, spawnCommand } from "../../process/spawn.ts";
import {
  encodeFrame,
  encodeJsonFrame,
  encodeU32Frame,
  frameName,
  type Frame,
  frameInWords,
  FrameType,
} from "../../protocols/agent/frame.ts";
import {
  decodeExecRequest,
  decodeSignal,
  encodeExecResponse,
  type ExecRequest,
} from "../../protocols/agent/messages.ts";
import type { FrameConnection } from "../channel/frame-connection.ts";
import type { BudgetShare, MemoryBudget } from "../channel/memory-budget.ts";
import type { AgentCounters } from "./agent-counters.ts";
import { confine, onStopping } from "./command-context.ts";
import { goSpawnRequestOf, startStatus } from "./go-request.ts";
import { WatchedOutput } from "../../process/command-output.ts";
import { countOf } from "../../text/count.ts";
import { withArticle } from "../../text/article.ts";

/** The three modes that run a command without a terminal, by the frame type that begins them. */
export type ExecMode =
  typeof FrameType.Exec | typeof FrameType.ExecStream | typeof FrameType.ExecPipe;

/** Settings of the agent for all commands. */
export interface SessionOptions {
  maxOutputBytes: number;
  /** Limit of all buffers, which collected output shares. */
  budget: MemoryBudget;
  sandbox: readonly string[];
  counters: AgentCounters;
  /** Fires when the agent stops. */
  stopping: AbortSignal;
}

/** Runs the requested command until it ends or the host disconnects. Never throws. */
export async function runExecSession(
  connection: FrameConnection,
  mode: ExecMode,
  payload: Uint8Array,
  options: SessionOptions,
): Promise<void> {
  let child: Child;
  let request: ExecRequest;
  try {
    const decoded = decodeExecRequest(payload);
    request = decoded;
    child = await options.counters.countStart("go", async () => {
      const spawned = spawnCommand(goSpawnRequestOf(confine(decoded, options.sandbox)));
      await spawned.started.catch(async (thrown: unknown) => {
        await spawned.closePipes();
        throw thrown;
      });
      return spawned;
    });
  } catch (thrown) {
    await fail(connection, mode, toVsockboxError(thrown, "run command"));
    return;
  }
  const share = options.budget.share();
  const session = new ExecSession(connection, mode, child, {
    maxBytes: options.maxOutputBytes,
    share,
  });
  try {
    await session.run(request.stdin, options.stopping);
  } finally {
    share.release();
  }
}

/** Reports an error in the reply frames of the mode, then closes. */
async function fail(
  connection: FrameConnection,
  mode: ExecMode,
  error: VsockboxError,
): Promise<void> {
  const exitCode = startStatus(error);
  try {
    // A command that the agent ended has no exit code of its own; Exec has no other frame for it.
    const endedByUs = error.code === "ABORTED" && mode !== FrameType.Exec;
    if (endedByUs || mode === FrameType.ExecPipe) await connection.sendError(error);
    if (!endedByUs) {
      await connection.sendEncoded(
        mode === FrameType.ExecPipe
          ? encodeU32Frame(FrameType.Exit, exitCode)
          : resultFrame(exitCode, { error: error.wireText }),
      );
    }
  } catch {
    // The host has disconnected.
  }
  await connection.finish();
}

function resultFrame(
  exitCode: number,
  { stdout, stderr, error }: { stdout?: Uint8Array; stderr?: Uint8Array; error?: string } = {},
): Uint8Array {
  const none = new Uint8Array(0);
  const response = encodeExecResponse({
    exitCode,
    stdout: stdout ?? none,
    stderr: stderr ?? none,
    error,
  });
  return encodeJsonFrame(FrameType.ExecResult, response);
}

/** Why a session ended before its command did. */
type Cancellation = "disconnected" | VsockboxError;

class ExecSession {
  readonly #connection: FrameConnection;
  readonly #mode: ExecMode;
  readonly #child: Child;
  readonly #stdout: OutputBuffer;
  readonly #stderr: OutputBuffer;
  readonly #cancelled = Promise.withResolvers<Cancellation>();
  /** Whether output is read and dropped. */
  #discards = false;

  constructor(connection: FrameConnection, mode: ExecMode, child: Child, limits: OutputLimits) {
    this.#connection = connection;
    this.#mode = mode;
    this.#child = child;
    this.#stdout = new OutputBuffer(limits);
    this.#stderr = new OutputBuffer(limits);
  }

  async run(stdin: Uint8Array, stopping: AbortSignal): Promise<void> {
    using _stop = onStopping(stopping, (error) => this.#cancelled.resolve(error));
    void this.#connection.stream.peerEnded.then(() => this.#cancelled.resolve("disconnected"));
    void this.#feed(stdin);
    const outcome = await Promise.race([this.#output(), this.#cancelled.promise]);
    if (outcome === "disconnected" || outcome instanceof VsockboxError) {
      await this.#cancel(outcome);
    } else {
      await this.#report(outcome).catch(() => undefined);
      void this.#child.closePipes();
      await this.#connection.finish();
    }
  }

  /** Ends the process group, reports the reason to a host that is still connected, and closes. */
  async #cancel(reason: Cancellation): Promise<void> {
    // Its output is read on and dropped: a closed pipe would kill it before it has handled SIGTERM.
    this.#discards = true;
    const ended = this.#child.terminateGroup();
    if (reason === "disconnected") this.#connection.stream.abort();
    if (reason !== "disconnected") await fail(this.#connection, this.#mode, reason);
    await ended;
    void this.#child.closePipes();
  }

  /** Writes the request's own stdin, then, in pipe mode, the host's Stdin frames. */
  async #feed(stdin: Uint8Array): Promise<void> {
    try {
      await this.#toChild(stdin);
      if (this.#mode !== FrameType.ExecPipe) await this.#child.stdin.end();
      for (;;) {
        const frame = await this.#connection.next();
        if (frame === undefined) return;
        await this.#onFrame(frame);
      }
    } catch (thrown) {
      this.#cancelled.resolve(toVsockboxError(thrown, "read from the host"));
    }
  }

  async #onFrame({ type, payload, frameBytes }: Frame): Promise<void> {
    if (this.#mode === FrameType.ExecPipe && type === FrameType.Stdin) {
      return frameBytes === 0 ? this.#child.stdin.end() : this.#toChild(payload);
    }
    if (this.#mode !== FrameType.Exec && type === FrameType.Signal) {
      return this.#child.signalGroup(decodeSignal(payload));
    }
    throw new VsockboxError({
      code: "BAD_DATA",
      operation: "read frame",
      message: `${frameInWords(type)} is not allowed in ${withArticle(frameName(this.#mode))} session`,
    });
  }

  /** Writes input; dropped after the command has closed its standard input, as in a shell. */
  async #toChild(bytes: Uint8Array): Promise<void> {
    if (bytes.length > 0) await this.#child.stdin.write(bytes).catch(() => undefined);
  }

  async #output(): Promise<ExitStatus> {
    const outputs = [
      new WatchedOutput(this.#child.stdout),
      new WatchedOutput(this.#child.stderr),
    ] as const;
    void this.#child.exited.then(() => {
      for (const output of outputs) output.endWhenQuiet();
    });
    await Promise.all([
      this.#forward(FrameType.Stdout, outputs[0], this.#stdout),
      this.#forward(FrameType.Stderr, outputs[1], this.#stderr),
    ]);
    return this.#child.exited;
  }

  async #forward(
    type: typeof FrameType.Stdout | typeof FrameType.Stderr,
    output: WatchedOutput,
    buffer: OutputBuffer,
  ): Promise<void> {
    for (;;) {
      const chunk = await output.read();
      if (chunk === undefined) return;
      if (this.#discards) continue;
      if (this.#mode === FrameType.Exec) buffer.push(chunk);
      else await this.#send(encodeFrame(type, chunk));
    }
  }

  async #send(frame: Uint8Array): Promise<void> {
    try {
      await this.#connection.sendEncoded(frame);
    } catch (thrown) {
      this.#discards = true;
      this.#cancelled.resolve(toVsockboxError(thrown, "send output"));
    }
  }

  async #report({ code }: ExitStatus): Promise<void> {
    if (this.#mode === FrameType.ExecPipe) {
      await this.#connection.sendEncoded(encodeU32Frame(FrameType.Exit, code));
      return;
    }
    const dropped = this.#stdout.dropped + this.#stderr.dropped;
    await this.#connection.sendEncoded(
      resultFrame(code, {
        stdout: this.#stdout.take(),
        stderr: this.#stderr.take(),
        ...(dropped === 0
          ? {}
          : {
              error: `the output is cut off: ${countOf(dropped, "byte")} more than this mode can carry`,
            }),
      }),
    );
  }
}

/** Limits of the collected output of one command. */
interface OutputLimits {
  /** Limit of each stream, in bytes. */
  maxBytes: number;
  /** Accounts for both streams. */
  share: BudgetShare;
}

/** Collects output up to a limit; bytes above it are counted and dropped. */
class OutputBuffer {
  readonly #limits: OutputLimits;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  dropped = 0;

  constructor(limits: OutputLimits) {
    this.#limits = limits;
  }

  push(chunk: Uint8Array): void {
    const { maxBytes, share } = this.#limits;
    // Nothing is collected after a gap.
    const allowed = this.dropped > 0 ? 0 : maxBytes - this.#bytes;
    const kept = chunk.subarray(0, allowed);
    if (kept.length > 0 && !share.resize(share.bytes + kept.length)) {
      this.dropped += chunk.length;
      return;
    }
    this.dropped += chunk.length - kept.length;
    this.#bytes += kept.length;
    if (kept.length > 0) this.#chunks.push(kept);
  }

  take(): Uint8Array {
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [];
    return whole;
  }
}
