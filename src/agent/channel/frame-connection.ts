/** One connection of the agent protocol: frames in, frames out. */
import { VsockboxError } from "../../errors.ts";
import type { SocketStream } from "../../io/stream.ts";
import { RECOGNISED_BYTES } from "../../protocols/recognise-service.ts";
import { encodeFrame, type Frame, FrameDecoder, FrameType } from "../../protocols/agent/frame.ts";
import type { FrameExchange } from "./frame-exchange.ts";
import type { BudgetShare } from "./memory-budget.ts";

/** Frames over a stream, for either end. */
export class FrameConnection implements FrameExchange {
  readonly stream: SocketStream;
  readonly #decoder: FrameDecoder;
  readonly #frames: AsyncGenerator<Frame, undefined, undefined>;
  readonly #share: BudgetShare | undefined;
  #unread: Frame | undefined;
  #head = new Uint8Array(0);
  /** Until the first frame has come in. */
  #checkFirst: ((type: Frame["type"]) => void) | undefined;

  /** @param options `share` accounts for the incomplete frame; undefined: not limited. */
  constructor(
    stream: SocketStream,
    options: {
      maxFrameBytes?: number;
      share?: BudgetShare | undefined;
      /** Throws for the type of a first frame that is refused. */
      checkFirst?: (type: Frame["type"]) => void;
    } = {},
  ) {
    this.stream = stream;
    this.#checkFirst = options.checkFirst;
    this.#share = options.share;
    this.#decoder = new FrameDecoder(options);
    this.#frames = this.#read();
  }

  /**
   * Returns the next frame, or piece of a data frame; undefined at EOF.
   *
   * @throws {VsockboxError} BAD_DATA for a frame above the limit; TRANSPORT if the connection
   * breaks or ends inside a frame; what `checkFirst` throws.
   */
  async next(): Promise<Frame | undefined> {
    const unread = this.#unread;
    this.#unread = undefined;
    if (unread !== undefined) return unread;
    const { value, done } = await this.#frames.next();
    this.#checkFirst = undefined;
    return done ? undefined : value;
  }

  async *#read(): AsyncGenerator<Frame, undefined, undefined> {
    for await (const chunk of this.stream) {
      if (this.#head.length < RECOGNISED_BYTES) {
        this.#head = Buffer.concat([this.#head, chunk.subarray(0, RECOGNISED_BYTES)]);
      }
      yield* this.#decoder.push(chunk);
      const type = this.#checkFirst && this.#decoder.pendingType;
      if (type !== undefined) this.#checkFirst?.(type);
      if (this.#share?.resize(this.#decoder.heldBytes) === false) {
        throw new VsockboxError({
          code: "REFUSED",
          operation: "read frame",
          message: "the memory for buffers is used up",
          hint: "--max-memory of the agent is the limit",
        });
      }
    }
    this.#decoder.finish();
    return undefined;
  }

  /** The first bytes of the peer, by which its service can be recognised. */
  get head(): Uint8Array {
    return this.#head;
  }

  /** Puts a frame back: the next call of {@link next} returns it. */
  unread(frame: Frame): void {
    this.#unread = frame;
  }

  /** Changes the limit for frames that are still to come, in bytes. */
  limitFrames(maxFrameBytes: number): void {
    this.#decoder.limit(maxFrameBytes);
  }

  /** Returns the stream for raw bytes; bytes that followed the last frame are read first. */
  detach(): SocketStream {
    this.stream.unread(this.#decoder.takeRest());
    return this.stream;
  }

  /** Sends one frame; resolves when the kernel has it. */
  send(type: FrameType, payload: Uint8Array): Promise<void> {
    return this.stream.write(encodeFrame(type, payload));
  }

  /** Sends an encoded frame. */
  sendEncoded(frame: Uint8Array): Promise<void> {
    return this.stream.write(frame);
  }

  /** Sends an error's text in a Stderr frame. */
  sendError(error: VsockboxError): Promise<void> {
    const text = `vsockbox agent: ${error.wireText}\n`;
    return this.send(FrameType.Stderr, new TextEncoder().encode(text));
  }

  /** Closes at once; pending reads and writes fail with `reason`. */
  abort(reason?: VsockboxError): void {
    this.stream.abort(reason);
  }

  /** Sends the queued frames and closes, without waiting for the peer. */
  close(): Promise<void> {
    return this.stream.close();
  }

  /** Closes the connection after all queued frames have been sent. */
  async finish(): Promise<void> {
    await this.stream.finish();
  }
}
