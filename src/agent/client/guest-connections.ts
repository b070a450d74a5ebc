/**
 * Connections to endpoints inside the guest, for `forward`: a `dial` channel carries the bytes of one
 * connection that the agent makes; a `listen` channel stands for a listener in the guest, and the agent
 * opens an `accepted` channel for each of its connections.
 */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { decodeAccepted } from "../../protocols/agent/channel-requests.ts";
import { badField, field, type JsonObject } from "../../protocols/agent/json-fields.ts";
import type { Endpoint } from "../../text/endpoint.ts";
import type { Channel } from "../channel/channel.ts";
import { ChannelPipe } from "../channel/channel-pipe.ts";
import type { ChannelOpener } from "./channel-opener.ts";

/** A connection inside the guest, as the channel that carries it and as a byte stream. */
export interface GuestConnection {
  channel: Channel;
  pipe: ChannelPipe;
}

/** A listener in the guest whose connections arrive on this side. */
export interface RemoteListener {
  /** Its address in the guest, with the port that the guest's kernel chose. */
  readonly listening: string;
  /** Rejects when the guest's listener or the connection to the agent ends. */
  readonly ended: Promise<void>;
  close(): void;
}

/**
 * Connects to an endpoint inside the guest.
 *
 * @throws {VsockboxError} UNAVAILABLE with the guest's reason.
 */
export async function dialInGuest(
  opener: ChannelOpener,
  endpoint: Endpoint,
): Promise<GuestConnection> {
  const connected = Promise.withResolvers<void>();
  const channel = opener.open({ op: "dial", endpoint }, () => connected.resolve());
  channel.result.then(
    () => connected.resolve(),
    (thrown: unknown) => connected.reject(thrown),
  );
  await connected.promise;
  return { channel, pipe: new ChannelPipe(channel) };
}

/** All listeners of one connection to an agent. */
export class RemoteListeners {
  readonly #handlers = new Map<number, (channel: Channel) => void>();

  /**
   * Listens inside the guest; each connection there becomes a channel, which `onConnection` gets.
   *
   * @throws {VsockboxError} CANNOT_CREATE with the guest's reason.
   */
  async listen(
    opener: ChannelOpener,
    endpoint: Endpoint,
    onConnection: (channel: Channel) => void,
  ): Promise<RemoteListener> {
    const listening = Promise.withResolvers<string>();
    const channel = opener.open({ op: "listen", endpoint }, (value) => {
      const address = field(value, "listening");
      listening.resolve(typeof address === "string" ? address : "");
    });
    this.#handlers.set(channel.id, onConnection);
    const ended = channel.result.then(
      // Without effect after the address has come.
      () => listening.reject(badField("listen", "the agent ended it without an address")),
      (thrown: unknown) => {
        listening.reject(thrown);
        throw thrown;
      },
    );
    ended.catch(() => undefined);
    return {
      listening: await listening.promise,
      ended,
      close: () => {
        this.#handlers.delete(channel.id);
        channel.cancel(
          new VsockboxError({ code: "ABORTED", operation: "listen", message: "it was closed" }),
        );
      },
    };
  }

  /** Passes a channel that the agent has opened to the listener that it names; fails it otherwise. */
  accept(channel: Channel, request: JsonObject): void {
    try {
      const { listener } = decodeAccepted(request);
      const handler = this.#handlers.get(listener);
      if (handler === undefined) throw badField("accepted", `unknown listener ${listener}`);
      handler(channel);
    } catch (thrown) {
      channel.fail(toVsockboxError(thrown, "accept"));
    }
  }
}
