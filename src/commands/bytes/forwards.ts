/** The forwards of one `forward` command, each connection carried from end to end. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import type { Channel } from "../../agent/channel/channel.ts";
import { joinChannel } from "../../agent/channel/channel-pipe.ts";
import { dialAgent } from "../../agent/client/handshake.ts";
import { openPortForward } from "../../agent/client/go-port-forward.ts";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { formatAddress } from "../../net/address.ts";
import { dialEndpoint, type EndpointListener, listenEndpoint } from "../../net/endpoint.ts";
import { type Endpoint, formatEndpoint } from "../../text/endpoint.ts";
import type { ForwardSpec } from "../../net/forward-spec.ts";
import { pump } from "../../io/pump.ts";
import { backoffDelay, delay, type Backoff } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import type { AgentTarget } from "../shared/target.ts";

/** A forward whose listener is open. */
export interface ReadyForward {
  direction: "local" | "remote";
  listening: string;
  to: Endpoint;
}

type OnError = (what: string, thrown: unknown) => void;

/** Listeners here that lead into the guest. */
export class LocalForwards {
  readonly #target: AgentTarget;
  readonly #onError: OnError;
  readonly #listeners: EndpointListener[] = [];
  readonly #streams = new Set<SocketStream>();

  constructor(target: AgentTarget, onError: OnError) {
    this.#target = target;
    this.#onError = onError;
  }

  /**
   * Opens a listener.
   *
   * @throws {VsockboxError} CANNOT_CREATE.
   */
  open({ listen, target }: ForwardSpec, onReady: (ready: ReadyForward) => void): void {
    const listener = listenEndpoint(listen, (stream) => {
      this.#streams.add(stream);
      void this.#carry(stream, target).finally(() => this.#streams.delete(stream));
    });
    this.#listeners.push(listener);
    const listening = formatEndpoint(listener.endpoint);
    onReady({ direction: "local", listening, to: target });
  }

  /** One connection. A failure ends it alone: the next one dials the guest anew. */
  async #carry(stream: SocketStream, target: Endpoint): Promise<void> {
    const { address, options } = this.#target;
    try {
      if (target.kind === "tcp") {
        const connection = await dialAgent(address, options);
        const forwarded = await openPortForward(
          connection,
          formatAddress(address),
          target,
          options.timeoutMs,
        );
        await pump(stream, forwarded);
        await Promise.all([stream.close(), forwarded.close()]);
        return;
      }
      const client = await AgentClient.connect(address, options);
      try {
        const { channel } = await client.dial(target);
        await joinChannel(channel, stream);
      } finally {
        await client.close();
      }
    } catch (thrown) {
      stream.abort();
      this.#onError(formatEndpoint(target), thrown);
    }
  }

  /** Closes all listeners and connections. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    for (const stream of this.#streams) stream.abort();
  }
}

/** Pauses between tries to reach a guest that was restarted. */
const RECONNECT_BACKOFF: Backoff = { firstMs: 200, factor: 1.5, maxMs: 5000 };

/** Errors of a booting guest, which are retried; others are final. */
const MAY_COME_BACK = new Set(["UNAVAILABLE", "TIMEOUT", "TRANSPORT", "ABORTED"]);

/** Listeners in the guest that lead here. */
export class RemoteForwards {
  readonly #target: AgentTarget;
  readonly #reconnect: boolean;
  readonly #events: { onReady: (ready: ReadyForward) => void; onError: OnError };
  readonly #closing = new AbortController();
  #client: AgentClient | undefined;

  constructor(
    target: AgentTarget,
    reconnect: boolean,
    events: { onReady: (ready: ReadyForward) => void; onError: OnError },
  ) {
    this.#target = target;
    this.#reconnect = reconnect;
    this.#events = events;
  }

  /**
   * Keeps the listeners open until {@link close}.
   *
   * @throws {VsockboxError} if a listener cannot be opened, or the connection ends and is not to
   * be made again.
   */
  async run(specs: readonly ForwardSpec[]): Promise<void> {
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      try {
        await this.#serve(specs, () => {
          attempt = 0;
        });
      } catch (thrown) {
        if (this.#closing.signal.aborted) return;
        const error = toVsockboxError(thrown, "forward");
        if (!this.#reconnect || !MAY_COME_BACK.has(error.code)) throw lost(error);
        if (attempt === 0) this.#events.onError("reconnecting", error);
      }
      await delay(backoffDelay(RECONNECT_BACKOFF, attempt), this.#closing.signal).catch(
        () => undefined,
      );
    }
  }

  async #serve(specs: readonly ForwardSpec[], onOpen: () => void): Promise<void> {
    const { address, options } = this.#target;
    const client = await AgentClient.connect(address, {
      ...options,
      signal: this.#closing.signal,
    });
    this.#client = client;
    try {
      const ends = [client.closed];
      for (const { listen, target } of specs) {
        const listener = await client.listen(
          listen,
          (channel) => void this.#carry(channel, target),
        );
        ends.push(listener.ended);
        this.#events.onReady({ direction: "remote", listening: listener.listening, to: target });
      }
      onOpen();
      await Promise.race(ends);
      throw new VsockboxError({
        code: "TRANSPORT",
        operation: "continue",
        message: "the other side has closed the connection",
      });
    } finally {
      this.#client = undefined;
      await client.close();
    }
  }

  async #carry(channel: Channel, target: Endpoint): Promise<void> {
    try {
      await joinChannel(channel, await dialEndpoint(target));
    } catch (thrown) {
      channel.fail(toVsockboxError(thrown, "forward"));
      this.#events.onError(formatEndpoint(target), thrown);
    }
  }

  /** Closes the connection and with it the listeners in the guest. */
  close(): void {
    this.#closing.abort();
    void this.#client?.close();
  }
}

/** The end of the connection, with what could be done about it. */
function lost(error: VsockboxError): VsockboxError {
  if (error.code !== "TRANSPORT") return error;
  return error.withHint("--reconnect opens the listeners again when the agent is back");
}
