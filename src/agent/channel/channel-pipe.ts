/** A channel as a byte stream, which can be joined to a socket: End is half-close, an error is a reset. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { joinConnections, type ResettableConnection } from "../../io/join.ts";
import type { SocketStream } from "../../io/stream.ts";
import { Stream } from "../../protocols/agent/channel-frames.ts";
import { badField } from "../../protocols/agent/json-fields.ts";
import type { Channel } from "./channel.ts";

/** Number of the stream that carries forwarded bytes. */
const PIPE_STREAM = Stream.Input;

/** A channel that carries nothing but bytes. */
export class ChannelPipe implements ResettableConnection {
  /** Resolves with the peer's error when it closes the channel with one, or the connection ends. */
  readonly broken: Promise<VsockboxError>;
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
    const breaking = Promise.withResolvers<VsockboxError>();
    this.broken = breaking.promise;
    channel.result.catch((thrown: unknown) => breaking.resolve(toVsockboxError(thrown)));
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const item = await this.#channel.next();
      if (item === undefined) return;
      if (item.kind === "record")
        throw badField("pipe", "a record is not allowed in a byte stream");
      yield item.bytes;
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#channel.send(PIPE_STREAM, bytes);
  }

  end(): Promise<void> {
    this.#channel.end();
    return Promise.resolve();
  }

  /** Closes the channel with an error, which the peer gets after all bytes. */
  reset(reason: VsockboxError): Promise<void> {
    this.#channel.fail(reason);
    return Promise.resolve();
  }
}

/**
 * Joins a channel to a socket until both directions have ended, or one of them is reset. Never throws.
 *
 * @returns why they were reset; undefined if both have ended cleanly.
 */
export async function joinChannel(
  channel: Channel,
  stream: SocketStream,
): Promise<VsockboxError | undefined> {
  const reason = await joinConnections(new ChannelPipe(channel), stream);
  if (reason !== undefined) return reason;
  channel.finish();
  await stream.close();
  return undefined;
}
