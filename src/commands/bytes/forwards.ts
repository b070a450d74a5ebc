/**
 * The forwards of one `forward` command. Each connection is a channel of the agent, which carries bytes,
 * half-close and resets. A TCP port of an agent that has only the Go agent's frames is carried as raw
 * bytes, which have no mark for a reset.
 */
import { AgentClient } from "../../agent/client/agent-client.ts";
import type { Channel } from "../../agent/channel/channel.ts";
import { joinChannel } from "../../agent/channel/channel-pipe.ts";
import { connectTwice, KnownGoFrames } from "../../agent/client/go-frames.ts";
import { dialAgent, mayUseGoFrames } from "../../agent/client/handshake.ts";
import { openPortForward } from "../../agent/client/go-port-forward.ts";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { formatAddress } from "../../net/address.ts";
import { dialEndpoint, type EndpointListener, listenEndpoint } from "../../net/endpoint.ts";
import { type Endpoint, formatEndpoint } from "../../text/endpoint.ts";
import type { ForwardSpec } from "../../net/forward-spec.ts";
import { joinConnections } from "../../io/join.ts";
import { backoffDelay, delay, type Backoff } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import type { AgentTarget } from "../shared/target.ts";

/** A forward whose listener is open. */
export interface ReadyForward {
  direction: "local" | "remote";
  listening: string;
  to: Endpoint;
}

/** A TCP endpoint. */
type TcpEndpoint = Endpoint & { kind: "tcp" };

/** What is reported of connections; each has the endpoint that it leads to. */
export interface ForwardEvents {
  /** A connection that could not be made, or listeners that are opened again. */
  onError(what: string, thrown: unknown): void;
  /** A connection that was reset, as clients do that read no more. */
  onReset(what: string, reason: VsockboxError): void;
}

/** Events of {@link RemoteForwards}. */
interface RemoteForwardEvents extends ForwardEvents {
  onReady(ready: ReadyForward): void;
}

/** Listeners here that lead into the guest. */
export class LocalForwards {
  readonly #target: AgentTarget;
  readonly #events: ForwardEvents;
  readonly #listeners: EndpointListener[] = [];
  readonly #streams = new Set<SocketStream>();
  readonly #goFrames = new KnownGoFrames();

  constructor(target: AgentTarget, events: ForwardEvents) {
    this.#target = target;
    this.#events = events;
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
    try {
      const reason =
        target.kind === "tcp"
          ? await this.#carryTcp(stream, target)
          : await this.#carryByChannel(stream, target);
      if (reason !== undefined) this.#events.onReset(formatEndpoint(target), reason);
    } catch (thrown) {
      this.#goFrames.forget();
      stream.abort();
      this.#events.onError(formatEndpoint(target), thrown);
    }
  }

  async #carryTcp(stream: SocketStream, target: TcpEndpoint): Promise<VsockboxError | undefined> {
    if (!this.#goFrames.isRecent(performance.now())) {
      try {
        return await connectTwice(() => this.#carryByChannel(stream, target));
      } catch (thrown) {
        if (!mayUseGoFrames(thrown, this.#target.options)) throw thrown;
        this.#goFrames.note(performance.now());
      }
    }
    return this.#carryByGoFrames(stream, target);
  }

  /** @returns why the connection was reset; undefined if both directions have ended cleanly. */
  async #carryByChannel(
    stream: SocketStream,
    target: Endpoint,
  ): Promise<VsockboxError | undefined> {
    const client = await AgentClient.connect(this.#target.address, this.#target.options);
    try {
      const { channel } = await client.dial(target);
      return await joinChannel(channel, stream);
    } finally {
      await client.close();
    }
  }

  /** @returns as {@link #carryByChannel}. */
  async #carryByGoFrames(
    stream: SocketStream,
    target: TcpEndpoint,
  ): Promise<VsockboxError | undefined> {
    const { address, options } = this.#target;
    const connection = await dialAgent(address, options);
    const shown = formatAddress(address);
    const forwarded = await openPortForward(connection, shown, target, options.timeoutMs);
    const reason = await joinConnections(stream, forwarded);
    if (reason !== undefined) return reason;
    await Promise.all([stream.close(), forwarded.close()]);
    return undefined;
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
  readonly #events: RemoteForwardEvents;
  readonly #closing = new AbortController();
  #client: AgentClient | undefined;

  constructor(target: AgentTarget, reconnect: boolean, events: RemoteForwardEvents) {
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
      const reason = await joinChannel(channel, await dialEndpoint(target));
      if (reason !== undefined) this.#events.onReset(formatEndpoint(target), reason);
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
