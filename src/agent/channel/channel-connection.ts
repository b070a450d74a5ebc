/**
 * The channel multiplexer: any number of channels (`channel.ts`) on one connection, the same code for
 * the host and the agent. It begins after both sides have exchanged Hello.
 *
 * Numbers: the side that connected opens channels with odd numbers, the agent with even ones, each in
 * ascending order. A frame for a number that was never opened ends the connection (BAD_DATA); a frame for
 * a closed channel is ignored, since it may have crossed the Close.
 *
 * Sending: Data and Records are limited by the credit of their channel. All other frames (answers such as
 * Credit, Close and Pong) need none, since waiting for credit could deadlock both sides; instead no more
 * frames are read while more than MAX_UNSENT_ANSWER_BYTES of them are unsent. Frames below COALESCE_BYTES
 * are collected until the end of the event loop's turn and sent in one write.
 *
 * Receiving: {@link ChannelConnection.run} dispatches each frame to its channel and never waits for a
 * reader, since the windows limit the unread bytes.
 *
 * End: after EOF, a broken connection, a protocol error or a Stderr frame (an error of the peer's whole
 * connection) all open channels and pings end with the same error. While channels or pings are open,
 * `peer-liveness.ts` detects a peer that is silent, by pings.
 */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import {
  type ChannelFrame,
  decodeChannelFrame,
  encodeChannelJson,
  MAX_CHANNEL_FRAME_BYTES,
} from "../../protocols/agent/channel-frames.ts";
import { CHANNEL_WINDOW_BYTES } from "../../protocols/agent/credit.ts";
import { encodeJsonFrame, FrameType } from "../../protocols/agent/frame.ts";
import { encodeError } from "../../protocols/agent/hello.ts";
import { badField, type JsonObject } from "../../protocols/agent/json-fields.ts";
import { printable } from "../../text/printable.ts";
import { Channel, type ChannelCarrier, COALESCE_BYTES, requestTooLong } from "./channel.ts";
import type { FrameConnection } from "./frame-connection.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { type LivenessLimits, type LivenessPhase, PeerLiveness } from "./peer-liveness.ts";

/** Open channels that one peer may have at once. */
const MAX_CHANNELS = 1024;

/**
 * Limit of unsent frames that need no credit, in bytes; above it no frames are read. They are answers
 * to the peer's frames, so a peer that reads its answers stays far below.
 */
const MAX_UNSENT_ANSWER_BYTES = 1024 * 1024;

/** Options of {@link ChannelConnection}. */
export interface ChannelConnectionOptions {
  /** The side that connected numbers its channels oddly. */
  side: "client" | "agent";
  /** Window of the peer's Hello: the initial credit of each channel, in bytes. */
  peerWindow: number;
  /** Limit of the unread items of all channels of this process; undefined: only their windows. */
  budget?: MemoryBudget | undefined;
  /** Called for each channel that the peer opens. */
  onOpen: (channel: Channel, request: JsonObject) => void;
  /** Limits of the peer's silence while an answer is due; undefined: none. */
  liveness?: LivenessLimits | undefined;
}

/** Thrown for a peer that neither closes the connection nor sends anything. */
export class SilentPeerError extends VsockboxError {
  /** Whether the peer has sent anything since the last request. */
  readonly phase: LivenessPhase;

  constructor(silentMs: number, phase: LivenessPhase) {
    super({
      code: "TIMEOUT",
      operation: "continue",
      message: `nothing was received from the agent for ${formatSeconds(silentMs)}, not even the answer to a ping`,
      hint: "the agent or its VM may be stopped, paused or overloaded",
    });
    this.phase = phase;
  }
}

function formatSeconds(milliseconds: number): string {
  return `${Math.round(milliseconds / 100) / 10} s`;
}

/** All channels of one connection. Frames are only read by {@link run}. */
export class ChannelConnection implements ChannelCarrier {
  readonly #connection: FrameConnection;
  readonly #options: ChannelConnectionOptions;
  readonly #channels = new Map<number, Channel>();
  readonly #pings: PromiseWithResolvers<JsonObject>[] = [];
  #nextId: number;
  #lastPeerId: number;
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  #batchAnswerBytes = 0;
  #unsentAnswerBytes = 0;
  #answersSent: PromiseWithResolvers<void> | undefined;
  #flushTimer: NodeJS.Immediate | undefined;
  #broken: VsockboxError | undefined;
  readonly #liveness: PeerLiveness | undefined;
  #livenessTimer: Timer | undefined;
  /** Time of the last received frame, by performance.now(). */
  lastFrameAt = performance.now();

  constructor(connection: FrameConnection, options: ChannelConnectionOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#nextId = options.side === "client" ? 1 : 2;
    this.#lastPeerId = options.side === "client" ? 0 : -1;
    this.#liveness =
      options.liveness && new PeerLiveness(options.liveness, connection.stream.lastSignOfLife);
    connection.limitFrames(MAX_CHANNEL_FRAME_BYTES);
  }

  /** Number of open channels. */
  get openChannels(): number {
    return this.#channels.size;
  }

  /**
   * Opens a channel.
   *
   * @throws {VsockboxError} TRANSPORT if the connection has ended; resources (E2BIG) for a request
   * that is longer than a frame.
   */
  open(request: JsonObject, onControl?: (value: JsonObject) => void): Channel {
    if (this.#broken !== undefined) throw this.#broken;
    const frame = encodeChannelJson("open", this.#nextId, request);
    // The peer would end the whole connection.
    if (frame.length > MAX_CHANNEL_FRAME_BYTES) throw requestTooLong(frame.length);
    const channel = this.#addChannel(this.#nextId);
    this.#nextId += 2;
    if (onControl !== undefined) channel.onControl = onControl;
    this.write(frame).catch(() => undefined);
    this.#expectAnswer();
    return channel;
  }

  /** Checks the peer's liveness from now on, while any channel or ping is open. */
  #expectAnswer(): void {
    const liveness = this.#liveness;
    if (liveness === undefined) return;
    const nowMs = performance.now();
    if (this.#livenessTimer === undefined) {
      liveness.resume(nowMs);
      this.#livenessTimer = setInterval(() => this.#checkLiveness(liveness), liveness.tickMs);
      this.#livenessTimer.unref();
    }
    liveness.onRequest(nowMs, this.#connection.stream.lastSignOfLife);
  }

  #checkLiveness(liveness: PeerLiveness): void {
    if (this.#channels.size + this.#pings.length === 0) return this.#stopWatching();
    const { stream } = this.#connection;
    const verdict = liveness.check(performance.now(), stream.lastSignOfLife);
    // If this process was delayed, the answer may be in the kernel.
    if (verdict.kind === "lost" && !stream.hasUndeliveredInput) {
      this.abort(new SilentPeerError(verdict.silentMs, verdict.phase));
    } else if (verdict.kind === "ping") {
      this.#sendPing({}).catch(() => undefined);
    }
  }

  #stopWatching(): void {
    clearInterval(this.#livenessTimer);
    this.#livenessTimer = undefined;
  }

  #addChannel(id: number): Channel {
    const windows = { peerBytes: this.#options.peerWindow, ownBytes: CHANNEL_WINDOW_BYTES };
    const channel = new Channel(this, id, windows, this.#options.budget?.share());
    this.#channels.set(id, channel);
    return channel;
  }

  /** Sends a Ping; returns the peer's Pong. */
  async ping(value: JsonObject = {}): Promise<JsonObject> {
    if (this.#broken !== undefined) throw this.#broken;
    const answer = this.#sendPing(value);
    this.#flush().catch(() => undefined);
    this.#expectAnswer();
    return answer;
  }

  /** Makes {@link Channel.hasBegun} true as soon as the peer has read everything sent so far. */
  confirm(channel: Channel): void {
    this.#sendPing({}).then(
      () => {
        channel.hasBegun = true;
      },
      () => undefined,
    );
  }

  #sendPing(value: JsonObject): Promise<JsonObject> {
    const answer = Promise.withResolvers<JsonObject>();
    this.#pings.push(answer);
    // A peer that does not read delays this write without limit; the answer's promise has a limit.
    this.write(encodeJsonFrame(FrameType.Ping, value)).catch(() => undefined);
    return answer.promise;
  }

  /**
   * Sends a frame. A small one is collected with others of the same turn of the event loop: many tiny
   * packets would fill the peer's queue of packets long before they have used up its credit.
   *
   * @returns when the kernel has a large frame; when a small one is queued.
   */
  write(frame: Uint8Array): Promise<void> {
    if (frame.length >= COALESCE_BYTES) {
      this.#flush().catch(() => undefined);
      return this.#connection.sendEncoded(frame);
    }
    this.#batch.push(frame);
    this.#batchBytes += frame.length;
    if (this.#batchBytes >= COALESCE_BYTES) return this.#flush();
    this.#flushTimer ??= setImmediate(() => {
      // The reading side reports a broken connection.
      this.#flush().catch(() => undefined);
    });
    return Promise.resolve();
  }

  /** Sends an answer, which needs no credit. The reading side reports a broken connection. */
  post(frame: Uint8Array): void {
    this.#unsentAnswerBytes += frame.length;
    if (frame.length < COALESCE_BYTES) {
      this.#batchAnswerBytes += frame.length;
      this.write(frame).catch(() => undefined);
    } else {
      const onSent = () => this.#onAnswersSent(frame.length);
      this.write(frame).then(onSent, onSent);
    }
  }

  #onAnswersSent(bytes: number): void {
    this.#unsentAnswerBytes -= bytes;
    if (this.#unsentAnswerBytes > MAX_UNSENT_ANSWER_BYTES) return;
    const waiter = this.#answersSent;
    this.#answersSent = undefined;
    waiter?.resolve();
  }

  #flush(): Promise<void> {
    if (this.#flushTimer !== undefined) clearImmediate(this.#flushTimer);
    this.#flushTimer = undefined;
    const [first] = this.#batch;
    if (first === undefined) return Promise.resolve();
    const whole = this.#batch.length === 1 ? first : Buffer.concat(this.#batch);
    this.#batch = [];
    this.#batchBytes = 0;
    const sent = this.#connection.sendEncoded(whole);
    const answerBytes = this.#batchAnswerBytes;
    this.#batchAnswerBytes = 0;
    if (answerBytes > 0) {
      const onSent = () => this.#onAnswersSent(answerBytes);
      sent.then(onSent, onSent);
    }
    return sent;
  }

  /** Removes a channel that was closed from this side. */
  forget(channel: Channel): void {
    this.#channels.delete(channel.id);
  }

  /**
   * Reads until the connection ends. All channels that are open then end with the reason.
   *
   * @throws {VsockboxError} BAD_DATA, TRANSPORT.
   */
  async run(): Promise<void> {
    try {
      for (;;) {
        const frame = await this.#connection.next();
        if (frame === undefined) break;
        this.lastFrameAt = performance.now();
        if (frame.type === FrameType.Stderr) throw connectionError(frame.payload);
        this.#onFrame(decodeChannelFrame(frame));
        if (this.#unsentAnswerBytes > MAX_UNSENT_ANSWER_BYTES) {
          this.#answersSent ??= Promise.withResolvers();
          await this.#answersSent.promise;
        }
      }
      this.#end(
        new VsockboxError({
          code: "TRANSPORT",
          operation: "continue",
          message: "the other side has closed the connection",
          hint: "the agent or the guest may have been stopped",
        }),
      );
    } catch (thrown) {
      const error = toVsockboxError(thrown, "read frame");
      this.#end(error);
      throw error;
    }
  }

  /** Drops the connection; everything on it ends with `reason`. */
  abort(reason: VsockboxError): void {
    this.#end(reason);
    this.#connection.stream.abort(reason);
  }

  /** Sends the queued frames and closes the connection. */
  async close(): Promise<void> {
    await this.#flush().catch(() => undefined);
    await this.#connection.stream.close();
  }

  #end(reason: VsockboxError): void {
    this.#broken ??= reason;
    this.#stopWatching();
    for (const channel of this.#channels.values()) channel.onBroken(reason);
    this.#channels.clear();
    for (const ping of this.#pings.splice(0)) ping.reject(reason);
  }

  #onFrame(frame: ChannelFrame): void {
    switch (frame.kind) {
      case "ping": {
        const answer = { ...frame.value, receivedMs: Date.now() };
        this.post(encodeJsonFrame(FrameType.Pong, answer));
        return;
      }
      case "pong":
        this.#pings.shift()?.resolve(frame.value);
        return;
      case "open":
        return this.#onOpen(frame.channel, frame.value);
      default: {
        const channel = this.#channels.get(frame.channel);
        // A frame that crossed this side's Close is ignored.
        if (channel !== undefined) this.#onChannelFrame(channel, frame);
        else if (!this.#wasOpen(frame.channel))
          throw badField("frame", "its channel was never opened");
      }
    }
  }

  #wasOpen(id: number): boolean {
    const isOurs = id % 2 === this.#nextId % 2;
    return id > 0 && (isOurs ? id < this.#nextId : id <= this.#lastPeerId);
  }

  #onChannelFrame(
    channel: Channel,
    frame: Exclude<ChannelFrame, { kind: "ping" | "pong" | "open" }>,
  ): void {
    channel.hasBegun = true;
    switch (frame.kind) {
      case "data":
        return channel.onData(
          { kind: "data", stream: frame.stream, bytes: frame.bytes },
          frame.cost,
        );
      case "record":
        return channel.onData({ kind: "record", value: frame.value }, frame.cost);
      case "control":
        return handleControl(channel, frame.value);
      case "credit":
        return channel.onCredit(frame.bytes);
      case "end":
        return channel.onEnd();
      case "close":
        this.#channels.delete(channel.id);
        return channel.onClose(frame.value);
      default:
        frame satisfies never;
    }
  }

  #onOpen(id: number, request: JsonObject): void {
    if (id % 2 === this.#nextId % 2 || id <= this.#lastPeerId) {
      throw badField("Open", `channel ${id} is not the other side's next one`);
    }
    this.#lastPeerId = id;
    if (this.#channels.size >= MAX_CHANNELS) {
      const error = new VsockboxError({
        code: "REFUSED",
        operation: "open channel",
        message: `${MAX_CHANNELS} channels are open already`,
      });
      this.post(encodeChannelJson("close", id, encodeError(error)));
      return;
    }
    this.#options.onOpen(this.#addChannel(id), request);
  }
}

/** Passes on a control message; an invalid one ends its channel, not the connection. */
function handleControl(channel: Channel, value: JsonObject): void {
  try {
    channel.onControl(value);
  } catch (thrown) {
    const error = toVsockboxError(thrown, "serve");
    channel.fail(error);
    channel.onBroken(error);
  }
}

/** The error of a Stderr frame, which the peer sends before it closes the connection. */
function connectionError(payload: Uint8Array): VsockboxError {
  return new VsockboxError({
    code: "TRANSPORT",
    operation: "continue",
    message: `the other side ended the connection: ${printable(new TextDecoder().decode(payload.subarray(0, 1024)).trimEnd())}`,
  });
}
