/** ExecTTY: a command on a terminal of its own, driven by the host's. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { HANG_UP_MS, spawnOnTerminal, type TerminalChild } from "../../process/terminal-child.ts";
import {
  encodeFrame,
  encodeU32Frame,
  type Frame,
  frameInWords,
  FrameType,
} from "../../protocols/agent/frame.ts";
import {
  decodeExecTTYRequest,
  decodeResize,
  decodeSignal,
} from "../../protocols/agent/messages.ts";
import { confine, DEFAULT_TERM, onStopping } from "./command-context.ts";
import { goSpawnRequestOf, startStatus } from "./go-request.ts";
import type { SessionOptions } from "./go-exec.ts";
import type { FrameConnection } from "../channel/frame-connection.ts";
import { WatchedOutput } from "../../process/command-output.ts";

/** Runs the requested command until it ends or the host disconnects. Never throws. */
export async function runTTYSession(
  connection: FrameConnection,
  payload: Uint8Array,
  options: SessionOptions,
): Promise<void> {
  let child: TerminalChild;
  try {
    const request = decodeExecTTYRequest(payload);
    const env = { TERM: DEFAULT_TERM, ...request.env };
    const confined = confine({ ...request, env }, options.sandbox);
    child = await options.counters.countStart("go", async () => {
      const spawned = spawnOnTerminal(goSpawnRequestOf(confined), request.size);
      await spawned.started.catch(async (thrown: unknown) => {
        await spawned.closeTerminal();
        throw thrown;
      });
      return spawned;
    });
  } catch (thrown) {
    await fail(connection, toVsockboxError(thrown, "run command"));
    return;
  }
  await new TTYSession(connection, child).run(options.stopping);
}

/** Reports an error, then closes. */
async function fail(connection: FrameConnection, error: VsockboxError): Promise<void> {
  try {
    await connection.sendError(error);
    // A command that the agent ended has no exit code of its own.
    if (error.code !== "ABORTED") {
      await connection.sendEncoded(encodeU32Frame(FrameType.Exit, startStatus(error)));
    }
  } catch {
    // The host has disconnected.
  }
  await connection.finish();
}

class TTYSession {
  readonly #connection: FrameConnection;
  readonly #child: TerminalChild;
  readonly #cancelled = Promise.withResolvers<"disconnected" | VsockboxError>();
  /** Whether output is read and dropped. */
  #discards = false;

  constructor(connection: FrameConnection, child: TerminalChild) {
    this.#connection = connection;
    this.#child = child;
  }

  async run(stopping: AbortSignal): Promise<void> {
    using _stop = onStopping(stopping, (error) => this.#cancelled.resolve(error));
    void this.#connection.stream.peerEnded.then(() => this.#cancelled.resolve("disconnected"));
    void this.#feed();
    const outcome = await Promise.race([this.#output(), this.#cancelled.promise]);
    if (typeof outcome === "number") {
      await this.#connection
        .sendEncoded(encodeU32Frame(FrameType.Exit, outcome))
        .catch(() => undefined);
      void this.#child.closeTerminal();
      await this.#connection.finish();
      return;
    }
    this.#discards = true;
    const ended = this.#child.terminateSession();
    // Shells ignore SIGTERM; a program that saves its work at SIGTERM must not get SIGHUP at once.
    const hangUp = setTimeout(() => void this.#child.closeTerminal(), HANG_UP_MS);
    if (outcome === "disconnected") this.#connection.stream.abort();
    else await fail(this.#connection, outcome);
    await ended;
    clearTimeout(hangUp);
    void this.#child.closeTerminal();
  }

  async #feed(): Promise<void> {
    try {
      for (;;) {
        const frame = await this.#connection.next();
        if (frame === undefined) return;
        await this.#onFrame(frame);
      }
    } catch (thrown) {
      this.#cancelled.resolve(toVsockboxError(thrown, "read from the host"));
    }
  }

  async #onFrame({ type, payload }: Frame): Promise<void> {
    switch (type) {
      case FrameType.Stdin:
        // An empty frame has no meaning here: EOF of a terminal is a key.
        return this.#child.input.write(payload).catch(() => undefined);
      case FrameType.Resize:
        return this.#child.resize(decodeResize(payload));
      case FrameType.Signal:
        return this.#child.signalForeground(decodeSignal(payload));
      default:
        throw new VsockboxError({
          code: "BAD_DATA",
          operation: "read frame",
          message: `${frameInWords(type)} is not allowed in an ExecTTY session`,
        });
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

  /** Sends all output; returns the exit code. */
  async #output(): Promise<number> {
    const output = new WatchedOutput(this.#child.output);
    void this.#child.exited.then(() => output.endWhenQuiet());
    try {
      for (;;) {
        const chunk = await output.read();
        if (chunk === undefined) break;
        if (!this.#discards) await this.#send(encodeFrame(FrameType.Stdout, chunk));
      }
    } catch (thrown) {
      this.#cancelled.resolve(toVsockboxError(thrown, "read output"));
    }
    return (await this.#child.exited).code;
  }
}
