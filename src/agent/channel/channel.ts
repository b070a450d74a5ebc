/**
 * One channel of the channel multiplexer (`channel-connection.ts`): a request, an ordered sequence of
 * data and records in each direction, and one result.
 *
 * Life of a channel:
 *
 *   Open     the request; the side that sends it chooses the number
 *   Data     bytes of a numbered stream, such as stdin or the bytes of a file
 *   Record   a JSON object, in order with the data
 *   Control  a JSON object outside of that order, such as a signal; needs no credit
 *   End      the sender sends no more Data or Records; the other direction goes on
 *   Close    a result or an error: both directions are closed, and the number is never used again
 *
 * A Close with a result comes after all items of its sender, which the reader still gets. After a Close
 * with an error the reader gets the unread items before the error, but may stop early (`isAbandoned`). A
 * Close of this side drops them at once. Frames that cross a Close are ignored.
 *
 * Credit: each direction has a window, the number of bytes that the receiver is willing to buffer; it is
 * announced in Hello. Data and Records use it up (`SendCredit`), a sender without enough of it waits, and
 * the receiver returns it in Credit frames as its items are read (`ReceiveWindow`). So a channel that is
 * not read stops its own sender and no other channel. Received items may also be limited by a share of
 * the agent's {@link BudgetShare memory budget}; a channel that exceeds it is closed with an error.
 */
import { VsockboxError } from "../../errors.ts";
import {
  DATA_HEADER_BYTES,
  encodeChannelJson,
  encodeCredit,
  encodeData,
  encodeEnd,
  fillDataHeader,
  MAX_CHANNEL_FRAME_BYTES,
  MAX_CHANNEL_DATA_BYTES,
  recordCost,
  type Stream,
} from "../../protocols/agent/channel-frames.ts";
import { StartError } from "../../start-error.ts";
import { ReceiveWindow, SendCredit } from "../../protocols/agent/credit.ts";
import { decodeError, encodeError } from "../../protocols/agent/hello.ts";
import { field, type JsonObject } from "../../protocols/agent/json-fields.ts";
import { borrowFrameBuffer, frameIn, returnFrameBuffer } from "./frame-buffers.ts";
import type { BudgetShare } from "./memory-budget.ts";

/** A received item, in the order in which the peer sent it. */
export type ChannelItem =
  { kind: "data"; stream: Stream; bytes: Uint8Array } | { kind: "record"; value: JsonObject };

/** Frames below this size are collected into one write, in bytes. */
export const COALESCE_BYTES = 64 * 1024;

/** Unread data below this size is merged with the item before it, in bytes. */
const SMALL_BYTES = 4096;

/** Limit of a merged item, in bytes. */
const MERGED_BYTES = 64 * 1024;

/** An unread item; `merged` is the growing buffer of an item that small data was merged into. */
type QueuedItem = ChannelItem & { cost: number; merged?: Uint8Array };

/** Operations of the connection that a channel uses. */
export interface ChannelCarrier {
  /**
   * Sends a frame; resolves when the kernel has it. One below {@link COALESCE_BYTES} may only be queued
   * then, so its buffer must not change any more.
   */
  write(frame: Uint8Array): Promise<void>;
  /** Sends a frame that needs no credit. While too many are unsent, the connection reads no frames. */
  post(frame: Uint8Array): void;
  /** Removes a channel that was closed from this side. */
  forget(channel: Channel): void;
}

/** A channel, the same for either end. */
export class Channel {
  readonly id: number;
  /**
   * The result in the peer's Close; rejects with its error, or with TRANSPORT if the connection broke.
   * A rejection need not be handled.
   */
  readonly result: Promise<JsonObject>;
  /** Resolves when the peer has closed the channel, or the connection has ended. Never rejects. */
  readonly peerClosed: Promise<void>;
  /** Called for every Control of the peer when it arrives, ahead of unread items. */
  onControl: (value: JsonObject) => void = () => undefined;
  /** Whether the peer has certainly read the Open. */
  hasBegun = false;

  readonly #carrier: ChannelCarrier;
  readonly #credit: SendCredit;
  readonly #window: ReceiveWindow;
  readonly #outcome = Promise.withResolvers<JsonObject>();
  readonly #peerClosed = Promise.withResolvers<void>();
  /** Accounts for unread items in the memory budget; undefined: only the window limits them. */
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
    this.peerClosed = this.#peerClosed.promise;
    this.result.catch(() => undefined);
  }

  /** Whether either side has closed the channel. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * Whether unread items are useless, since this side has closed the channel or the peer has failed. If
   * the peer has closed it with a result, they are complete.
   */
  get isAbandoned(): boolean {
    return this.#closedHere || this.#failure !== undefined;
  }

  /**
   * Returns the next item; undefined after the peer's End.
   *
   * @throws {VsockboxError} the peer's error, or TRANSPORT, after all items that came before it.
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
   * @throws {VsockboxError} if the channel is closed: the peer's error, or ABORTED.
   */
  async send(stream: Stream, bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += MAX_CHANNEL_DATA_BYTES) {
      const piece = bytes.subarray(offset, offset + MAX_CHANNEL_DATA_BYTES);
      await this.#useCredit(piece.length);
      if (piece.length < COALESCE_BYTES) {
        await this.#carrier.write(encodeData(this.id, stream, piece));
      } else {
        await this.#sendLarge(stream, piece);
      }
    }
  }

  async #sendLarge(stream: Stream, bytes: Uint8Array): Promise<void> {
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
   * Sends bytes of a buffer with free space for the header in front, without copying them.
   *
   * @param frame `DATA_HEADER_BYTES` of free space, then at most `MAX_CHANNEL_DATA_BYTES` bytes.
   */
  async sendInPlace(stream: Stream, frame: Uint8Array): Promise<void> {
    await this.#useCredit(frame.length - DATA_HEADER_BYTES);
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
    await this.#useCredit(recordCost(frame));
    await this.#carrier.write(frame);
  }

  /** Sends a control message, which needs no credit and so does not wait for unread data. */
  control(value: JsonObject): void {
    if (!this.#closed) this.#carrier.post(encodeChannelJson("control", this.id, value));
  }

  /** Sends End: no more data and records will come from this side. */
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

  /** Closes the channel because its result is not needed any more; `result` rejects with `reason`. */
  cancel(reason: VsockboxError): void {
    this.#failure ??= reason;
    this.#closeWith(encodeError(reason));
    this.#outcome.reject(reason);
  }

  /** Called by the connection for each Data and Record. */
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
   * Unread bytes must not hold much more memory than their credit: a small piece is copied out of the
   * chunk that it came in, and merged with others.
   */
  #queueSmall(stream: Stream, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const last = this.#items.at(-1);
    const length = last?.kind === "data" ? last.bytes.length + bytes.length : 0;
    if (last?.kind !== "data" || last.stream !== stream || length > MERGED_BYTES) {
      this.#items.push({ kind: "data", stream, bytes: bytes.slice(), cost: bytes.length });
      return;
    }
    let { merged } = last;
    if (merged === undefined || merged.length < length) {
      merged = new Uint8Array(length * 2);
      merged.set(last.bytes);
    }
    merged.set(bytes, last.bytes.length);
    last.merged = merged;
    last.bytes = merged.subarray(0, length);
    last.cost += bytes.length;
  }

  /** Called by the connection for each Credit: the peer has read so many bytes. */
  onCredit(bytes: number): void {
    this.#credit.add(bytes);
    this.#wakeSender();
  }

  #wakeSender(): void {
    const waiter = this.#creditWaiter;
    this.#creditWaiter = undefined;
    waiter?.resolve();
  }

  /** Called by the connection for the peer's End. */
  onEnd(): void {
    this.#inputEnded = true;
    this.#wakeReader();
  }

  /** Called by the connection for the peer's Close. */
  onClose(value: JsonObject): void {
    const error = decodeError(value);
    if (error !== undefined) return this.onBroken(error);
    const result = field(value, "result");
    this.#ended();
    this.#outcome.resolve(
      typeof result === "object" && !Array.isArray(result) ? (result as JsonObject) : {},
    );
  }

  /** Called by the connection when it ends without the peer's Close. */
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
    this.#peerClosed.resolve();
    this.#wakeReader();
    this.#wakeSender();
  }

  #closeWith(value: JsonObject): void {
    this.#share?.release();
    if (this.#closed) return;
    const frame = encodeChannelJson("close", this.id, value);
    // The peer would end the whole connection for a frame above its limit.
    if (frame.length > MAX_CHANNEL_FRAME_BYTES) return this.fail(tooLong(frame.length));
    this.#carrier.post(frame);
    this.#closed = true;
    this.#closedHere = true;
    this.#items.length = 0;
    this.#carrier.forget(this);
    this.#wakeReader();
    this.#wakeSender();
  }

  async #useCredit(bytes: number): Promise<void> {
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

/** Returns the error for a request longer than a frame, for which the peer would end the connection. */
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
