/** A channel as a byte stream, which can be joined to a socket: End is half-close, an error is an abort. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { type Duplex, pump } from "../../io/pump.ts";
import type { SocketStream } from "../../io/stream.ts";
import { badField } from "../../protocols/agent/json-fields.ts";
import type { Channel } from "./channel.ts";

/** Number of the stream that carries forwarded bytes. */
const PIPE_STREAM = 0;

/** A channel that carries nothing but bytes. */
export class ChannelPipe implements Duplex {
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
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

  abort(reason?: VsockboxError): void {
    const error =
      reason ??
      new VsockboxError({ code: "TRANSPORT", operation: "forward", message: "it was aborted" });
    this.#channel.fail(error);
  }
}

/** Joins a channel to a socket until both directions have ended. Never throws. */
export async function joinChannel(channel: Channel, stream: SocketStream): Promise<void> {
  void channel.peerClosed.then(() => {
    // An error of the peer must reset the socket, not half-close it.
    channel.result.catch((thrown: unknown) => stream.abort(toVsockboxError(thrown)));
  });
  try {
    await pump(new ChannelPipe(channel), stream);
    channel.finish();
    await stream.close();
  } catch (thrown) {
    channel.fail(toVsockboxError(thrown, "forward"));
    stream.abort();
  }
}
