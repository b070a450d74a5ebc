/** Frames over a connection of the caller, which is never read beyond the frame that is waited for. */
import type { FrameExchange } from "../agent/channel/frame-exchange.ts";
import { type ErrorStep, VsockboxError } from "../errors.ts";
import { type Frame, FrameDecoder } from "../protocols/agent/frame.ts";

/** A connection of the caller: that of `dial`, or any other with these operations. */
export interface WireConn {
  /** Returns the next bytes, at most `maxBytes`; undefined at the end of input. */
  read(options: { maxBytes: number }): Promise<Uint8Array | undefined>;
  /** Sends all bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes both directions. */
  close(): Promise<void>;
}

/** Limits of messages. */
export interface MessageLimits {
  /** Largest payload that is accepted, in bytes (default 64 MiB); the wire allows 4 GiB. */
  maxBytes?: number | undefined;
}

/** Frames over a connection, which the caller may read again after each whole frame. */
export class WireExchange implements FrameExchange {
  readonly #conn: WireConn;
  readonly #decoder: FrameDecoder;
  #frames: Iterator<Frame> | undefined;
  #failure: VsockboxError | undefined;

  constructor(conn: WireConn, { maxBytes }: MessageLimits = {}) {
    this.#conn = conn;
    this.#decoder = new FrameDecoder(maxBytes === undefined ? {} : { maxFrameBytes: maxBytes });
  }

  async next(): Promise<Frame | undefined> {
    for (;;) {
      const frame = this.#frames?.next();
      if (frame !== undefined && frame.done !== true) return frame.value;
      const bytes = await this.#read();
      if (bytes === undefined) return undefined;
      this.#frames = this.#decoder.push(bytes);
    }
  }

  /** The end of input inside a frame is an error. */
  async #read(): Promise<Uint8Array | undefined> {
    const step = this.#decoder.isInPayload ? "read_response_data" : "read_response_header";
    return this.#atStep(step, async () => {
      const bytes = await this.#conn.read({ maxBytes: this.#decoder.missingBytes });
      if (bytes === undefined) this.#decoder.finish();
      return bytes;
    });
  }

  sendEncoded(frame: Uint8Array): Promise<void> {
    return this.#atStep("write_request", () => this.#conn.write(frame));
  }

  /** After an abort its reason is thrown, in place of the error or the end of input that it has caused. */
  async #atStep<T>(step: ErrorStep, operation: () => Promise<T>): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      const result = await operation();
      if (this.#failure === undefined) return result;
    } catch (thrown) {
      throw this.#failure ?? (thrown instanceof VsockboxError ? thrown.withStep(step) : thrown);
    }
    throw this.#failure;
  }

  abort(reason?: VsockboxError): void {
    this.#failure ??= reason;
    this.#conn.close().catch(() => undefined);
  }

  close(): Promise<void> {
    return this.#conn.close();
  }
}
