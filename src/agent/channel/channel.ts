/** One channel of a connection: an ordered sequence of data and records each way, with credit. */
import { VsockboxError } from "../../errors.ts";
import {
  DATA_HEADER_BYTES,
  encodeChannelJson,
  encodeCredit,
  encodeData,
  encodeEnd,
  fillDataHeader,
  MAX_CHANNEL_FRAME_BYTES,
  MAX_DATA_BYTES,
  recordCost,
} from "../../protocols/agent/channel-frames.ts";
import { StartError } from "../../start-error.ts";
import { ReceiveWindow, SendCredit } from "../../protocols/agent/credit.ts";
import { decodeError, encodeError } from "../../protocols/agent/hello.ts";
import { field, type JsonObject } from "../../protocols/agent/json-fields.ts";
import { borrowFrameBuffer, frameIn, returnFrameBuffer } from "./frame-buffers.ts";
import type { BudgetShare } from "./memory-budget.ts";

/** What comes out of a channel, in the order in which the peer sent it. */
export type ChannelItem =
  { kind: "data"; stream: number; bytes: Uint8Array } | { kind: "record"; value: JsonObject };

/** Frames below this size are put together into one write, in bytes. */
export const COALESCE_BYTES = 64 * 1024;

/** Data below this size is put together while it waits to be read, in bytes. */
const SMALL_BYTES = 4096;

/** Most that is put together, in bytes. */
const MERGED_BYTES = 64 * 1024;

/** An item that waits to be read; `room` is what small data is put together in. */
type QueuedItem = ChannelItem & { cost: number; room?: Uint8Array };

/** What a channel needs of its connection. */
export interface ChannelCarrier {
  /**
   * Sends a frame; resolves when the kernel has it. One below {@link COALESCE_BYTES} may be queued then:
   * its buffer must not change any more.
   */
  write(frame: Uint8Array): Promise<void>;
  /** Sends a frame that takes no credit: where too many wait to be sent, nothing more is read. */
  post(frame: Uint8Array): void;
  /** The channel's number will not be used again. */
  forget(channel: Channel): void;
}

/** A channel, the same for either end. */
export class Channel {
  readonly id: number;
  /**
   * The peer's final word; rejects with its error, or with TRANSPORT where the connection broke.
   * Nobody has to wait for it.
   */
  readonly result: Promise<JsonObject>;
  /** Resolves when the peer has closed the channel or is gone. Never rejects. */
  readonly peerLeft: Promise<void>;
  /** Called at once for every Control of the peer, whatever else is queued. */
  onControl: (value: JsonObject) => void = () => undefined;
  /** Whether the peer is known to have read the Open. */
  hasBegun = false;

  readonly #carrier: ChannelCarrier;
  readonly #credit: SendCredit;
  readonly #window: ReceiveWindow;
  readonly #outcome = Promise.withResolvers<JsonObject>();
  readonly #left = Promise.withResolvers<void>();
  /** What unread items hold, where that is limited beyond the window. */
  readonly #share: BudgetShare | undefined;
  readonly #items: QueuedItem[] = [];
  #inputEnded = false;
  #outputEnded = false;
  #closed = false;
  #closedHere = false;
  #failure: VsockboxError | undefined;
  #reader: PromiseWithResolvers<void> | undefined;
  #creditWaiter: PromiseWithResolvers<void> | undefined;

  constructor(
    carrier: ChannelCarrier,
    id: number,
    windows: { peerBytes: number; ownBytes: number },
    share?: BudgetShare,
  ) {
    this.#share = share;
    this.#carrier = carrier;
    this.id = id;
    this.#credit = new SendCredit(windows.peerBytes);
    this.#window = new ReceiveWindow(windows.ownBytes);
    this.result = this.#outcome.promise;
    this.peerLeft = this.#left.promise;
    this.result.catch(() => undefined);
  }

  /** Whether either side has closed the channel. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * Whether the items that are still queued are of no use: this side has closed the channel, or the
   * peer has failed. A peer that has closed it with a result has sent all of them before.
   */
  get isAbandoned(): boolean {
    return this.#closedHere || this.#failure !== undefined;
  }

  /**
   * The next item; undefined at the peer's end of output.
   *
   * @throws {VsockboxError} the peer's error, or TRANSPORT, behind all items before it.
   */
  async next(): Promise<ChannelItem | undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#share?.resize(Math.max(0, this.#share.bytes - item.cost));
        const returned = this.#window.consume(item.cost);
        if (returned > 0 && !this.#closed) this.#carrier.post(encodeCredit(this.id, returned));
        return item;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#inputEnded || this.#closed) return undefined;
      this.#reader ??= Promise.withResolvers();
      await this.#reader.promise;
    }
  }

  /**
   * Sends bytes on a stream; resolves when the kernel has them.
   *
   * @throws {VsockboxError} where the channel is closed: the peer's error, or ABORTED.
   */
  async send(stream: number, bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += MAX_DATA_BYTES) {
      const piece = bytes.subarray(offset, offset + MAX_DATA_BYTES);
      await this.#take(piece.length);
      if (piece.length < COALESCE_BYTES) {
        await this.#carrier.write(encodeData(this.id, stream, piece));
      } else {
        await this.#sendLarge(stream, piece);
      }
    }
  }

  async #sendLarge(stream: number, bytes: Uint8Array): Promise<void> {
    const buffer = borrowFrameBuffer();
    try {
      const frame = frameIn(buffer, bytes.length);
      fillDataHeader(frame, this.id, stream);
      frame.set(bytes, DATA_HEADER_BYTES);
      await this.#carrier.write(frame);
    } finally {
      returnFrameBuffer(buffer);
    }
  }

  /**
   * Sends bytes that were read into a buffer with room for the header in front: nothing is copied.
   *
   * @param frame `DATA_HEADER_BYTES` of room and at most `MAX_DATA_BYTES` bytes.
   */
  async sendInPlace(stream: number, frame: Uint8Array): Promise<void> {
    await this.#take(frame.length - DATA_HEADER_BYTES);
    fillDataHeader(frame, this.id, stream);
    await this.#carrier.write(frame);
  }

  /**
   * Sends a record, in order with the data.
   *
   * @throws {StartError} resources (E2BIG) for a record that is longer than a frame.
   */
  async sendRecord(value: JsonObject): Promise<void> {
    const frame = encodeChannelJson("record", this.id, value);
    if (frame.length > MAX_CHANNEL_FRAME_BYTES) throw requestTooLong(frame.length);
    await this.#take(recordCost(frame));
    await this.#carrier.write(frame);
  }

  /** Sends a control message: it takes no credit, so it is never behind unread data of ours. */
  control(value: JsonObject): void {
    if (!this.#closed) this.#carrier.post(encodeChannelJson("control", this.id, value));
  }

  /** Says that no more data and records will come from this side. */
  end(): void {
    if (this.#outputEnded || this.#closed) return;
    this.#outputEnded = true;
    this.#carrier.post(encodeEnd(this.id));
  }

  /** Closes the channel with a result. */
  finish(result: JsonObject = {}): void {
    this.#closeWith({ result });
  }

  /** Closes the channel with an error, which the peer's operation then throws. */
  fail(error: VsockboxError): void {
    this.#closeWith(encodeError(error));
  }

  /** Closes the channel because nobody wants its outcome any more. */
  cancel(reason: VsockboxError): void {
    this.#failure ??= reason;
    this.#closeWith(encodeError(reason));
    this.#outcome.reject(reason);
  }

  /** Called by the connection: data came in. */
  onData(item: ChannelItem, cost: number): void {
    if (this.#closed) return;
    this.#window.accept(cost);
    if (this.#share?.resize(this.#share.bytes + cost) === false) return this.#endForMemory();
    if (item.kind === "data" && item.bytes.length < SMALL_BYTES && this.#items.length > 0) {
      this.#queueSmall(item.stream, item.bytes);
    } else if (item.kind === "record" || item.bytes.length > 0) {
      this.#items.push({ ...item, cost });
    }
    this.#wakeReader();
  }

  /**
   * Bytes that wait are worth their credit and not more: a small piece must not hold the whole chunk
   * that it came in, nor be an item of its own.
   */
  #queueSmall(stream: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const last = this.#items.at(-1);
    const length = last?.kind === "data" ? last.bytes.length + bytes.length : 0;
    if (last?.kind !== "data" || last.stream !== stream || length > MERGED_BYTES) {
      this.#items.push({ kind: "data", stream, bytes: bytes.slice(), cost: bytes.length });
      return;
    }
    let { room } = last;
    if (room === undefined || room.length < length) {
      room = new Uint8Array(length * 2);
      room.set(last.bytes);
    }
    room.set(bytes, last.bytes.length);
    last.room = room;
    last.bytes = room.subarray(0, length);
    last.cost += bytes.length;
  }

  /** Called by the connection: the peer gives more credit. */
  onCredit(bytes: number): void {
    this.#credit.add(bytes);
    this.#wakeSender();
  }

  #wakeSender(): void {
    const waiter = this.#creditWaiter;
    this.#creditWaiter = undefined;
    waiter?.resolve();
  }

  /** Called by the connection: no more data will come. */
  onEnd(): void {
    this.#inputEnded = true;
    this.#wakeReader();
  }

  /** Called by the connection: the peer's final word. */
  onClose(value: JsonObject): void {
    const error = decodeError(value);
    if (error !== undefined) return this.onBroken(error);
    const result = field(value, "result");
    this.#ended();
    this.#outcome.resolve(
      typeof result === "object" && !Array.isArray(result) ? (result as JsonObject) : {},
    );
  }

  /** Called by the connection: there will be no word of the peer any more. */
  onBroken(error: VsockboxError): void {
    this.#failure ??= error;
    this.#ended();
    this.#outcome.reject(error);
  }

  /** Ends a channel that would hold more than its share of the memory for buffers. */
  #endForMemory(): void {
    const error = new VsockboxError({
      code: "REFUSED",
      operation: "receive",
      message: "the memory for unread input is used up",
      hint: "--max-memory of the agent is the limit",
    });
    this.fail(error);
    this.onBroken(error);
  }

  #ended(): void {
    this.#share?.release();
    this.#closed = true;
    this.#left.resolve();
    this.#wakeReader();
    this.#wakeSender();
  }

  #closeWith(value: JsonObject): void {
    this.#share?.release();
    if (this.#closed) return;
    const frame = encodeChannelJson("close", this.id, value);
    // A frame that the peer refuses would take the whole connection with it.
    if (frame.length > MAX_CHANNEL_FRAME_BYTES) return this.fail(tooLong(frame.length));
    this.#carrier.post(frame);
    this.#closed = true;
    this.#closedHere = true;
    this.#items.length = 0;
    this.#carrier.forget(this);
    this.#wakeReader();
    this.#wakeSender();
  }

  async #take(bytes: number): Promise<void> {
    while (this.#credit.available < bytes && !this.#closed) {
      this.#creditWaiter ??= Promise.withResolvers();
      await this.#creditWaiter.promise;
    }
    if (this.#closed || this.#outputEnded) {
      throw (
        this.#failure ??
        new VsockboxError({ code: "ABORTED", operation: "send", message: "the channel is closed" })
      );
    }
    this.#credit.take(bytes);
  }

  #wakeReader(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.resolve();
  }
}

/** The error for a request that no frame can carry; the peer would end the whole connection. */
export function requestTooLong(bytes: number): StartError {
  return new StartError({
    kind: "resources",
    stage: "program",
    operation: "send request",
    message: `it has ${bytes} bytes, more than the ${MAX_CHANNEL_FRAME_BYTES} of a frame`,
    errno: "E2BIG",
  });
}

function tooLong(bytes: number): VsockboxError {
  return new VsockboxError({
    code: "IO",
    operation: "answer",
    message: `the answer has ${bytes} bytes, more than the ${MAX_CHANNEL_FRAME_BYTES} of a frame`,
  });
}
