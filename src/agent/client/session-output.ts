/** The kept output of a detached session. */
import { VsockboxError } from "../../errors.ts";
import { Stream } from "../../protocols/agent/channel-frames.ts";
import { type Hello, LOG_PARTS_FEATURE } from "../../protocols/agent/hello.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { decodeOutputTime } from "../../protocols/agent/output-records.ts";
import type { Channel } from "../channel/channel.ts";
import type { ChannelOpener } from "./channel-opener.ts";
import type { OutputPiece } from "./remote-process.ts";

/** What is read of a session's output: of several beginnings, the last one counts. */
export interface OutputSelection {
  /** Continue with new output until the session ends. */
  follow: boolean;
  /** Offset of the first byte; undefined: the oldest one that is kept. */
  offset: number | undefined;
  /** Begin so many lines before the end. */
  tail: number | undefined;
  /** Begin with the first byte that is not older than this, in milliseconds. */
  sinceMs: number | undefined;
  /** Report when the output was written. */
  timestamps: boolean;
}

/** A piece of output, and when it was written by the agent's clock, in milliseconds since 1970. */
export type LoggedPiece = OutputPiece & { timeMs: number | undefined };

/** Output that is being read. */
export class SessionOutput {
  readonly #channel: Channel;
  /** The channel's result, once all output has been read. */
  readonly result: Promise<JsonObject>;

  private constructor(channel: Channel) {
    this.#channel = channel;
    this.result = channel.result;
  }

  /**
   * Begins to read the output of a session.
   *
   * @param onControl receives the agent's notices, such as of output that is not kept any more.
   * @throws {VsockboxError} UNAVAILABLE for an agent that cannot send a part of the output, or times.
   */
  static open(
    client: ChannelOpener & { readonly hello: Hello },
    id: string,
    selection: OutputSelection,
    onControl?: (value: JsonObject) => void,
  ): SessionOutput {
    const { tail, sinceMs, timestamps } = selection;
    const needsParts = tail !== undefined || sinceMs !== undefined || timestamps;
    if (needsParts && !client.hello.features.includes(LOG_PARTS_FEATURE)) {
      throw new VsockboxError({
        code: "UNAVAILABLE",
        operation: "read output of",
        address: id,
        message: "this agent cannot select lines or send times of output",
        errno: "EOPNOTSUPP",
        hint: "run a newer `vsockbox agent` in the guest",
      });
    }
    const channel = client.open({ op: "logs", id, ...selection }, onControl);
    channel.end();
    return new SessionOutput(channel);
  }

  /**
   * Output in the order in which it was written.
   *
   * @throws {VsockboxError} the agent's error; BAD_DATA for an invalid time.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<LoggedPiece> {
    let timeMs: number | undefined;
    for (;;) {
      const item = await this.#channel.next();
      if (item === undefined) return;
      if (item.kind === "record") timeMs = decodeOutputTime(item.value);
      else {
        const stream = item.stream === Stream.Errors ? "stderr" : "stdout";
        yield { stream, bytes: item.bytes, timeMs };
      }
    }
  }

  /** Stops reading; the session goes on. */
  leave(reason: VsockboxError): void {
    this.#channel.cancel(reason);
  }
}
