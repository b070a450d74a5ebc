/** The packets of this kernel's vsock: a vsockmon link, read through a packet ring. */
import { VsockboxError } from "../errors.ts";
import { PacketRing, RING_TIMEOUT_MS, type RingPacket } from "../ffi/packet-ring.ts";
import { socketError } from "../ffi/socket.ts";
import { ReadyDescriptor } from "../io/ready-descriptor.ts";
import type { PacketSource } from "./packet-source.ts";
import { createVsockmonLink, type VsockmonLink } from "./vsockmon-link.ts";
import { nextTurn } from "../io/fair-turns.ts";

/** Default size of the ring, in bytes: more than a second of 50,000 packets a second. */
export const DEFAULT_RING_BYTES = 32 * 1024 * 1024;

/** How long the packets that the kernel still holds may take after the end, in milliseconds. */
const DRAIN_MS = 20 * RING_TIMEOUT_MS;

/** Options of {@link KernelSource}. */
export interface KernelSourceOptions {
  /** Bytes of each packet that are captured. */
  snapBytes: number;
  /** Size of the ring, in bytes. */
  bufferBytes: number;
}

/** A live capture of the kernel's vsock. */
export class KernelSource implements PacketSource {
  readonly unit = "microseconds";
  readonly #link: VsockmonLink;
  readonly #ring: PacketRing;
  readonly #ready: ReadyDescriptor;
  readonly #onExit = () => this.#link.remove();
  #received = 0;
  /** When the source was stopped, by performance.now(). */
  #stoppedAt: number | undefined;
  #wake: (() => void) | undefined;
  #isClosed = false;

  /**
   * Creates the link and the ring. The link is removed at the end of this process at the latest, unless
   * SIGKILL ends it.
   *
   * @throws {VsockboxError} as {@link createVsockmonLink} and {@link PacketRing}.
   */
  constructor({ snapBytes, bufferBytes }: KernelSourceOptions) {
    this.#link = createVsockmonLink();
    process.on("exit", this.#onExit);
    try {
      const { index: link, name } = this.#link;
      this.#ring = new PacketRing({ link, name, snapBytes, bufferBytes });
      this.#ready = new ReadyDescriptor(this.#ring.fd);
    } catch (thrown) {
      this.#removeLink();
      throw thrown;
    }
  }

  /** The name of the link. */
  get name(): string {
    return this.#link.name;
  }

  async *batches(): AsyncGenerator<readonly RingPacket[]> {
    for (;;) {
      const packets = this.#ring.read();
      if (packets !== undefined) {
        this.#received += packets.length;
        yield packets;
        this.#ring.release();
        // Signals and output have their turn, however fast packets arrive.
        await nextTurn();
      } else if (this.#stoppedAt === undefined) {
        await this.#readable();
        this.#assertLink();
      } else {
        if (this.#isDrained(this.#stoppedAt)) return;
        await Bun.sleep(RING_TIMEOUT_MS / 5);
      }
    }
  }

  stop(): void {
    if (this.#stoppedAt !== undefined) return;
    this.#stoppedAt = performance.now();
    this.#removeLink();
    this.#wake?.();
  }

  lost(): Promise<number> {
    return Promise.resolve(this.#ring.statistics().dropped);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#removeLink();
    this.#ready.close();
    this.#ring.close();
  }

  #removeLink(): void {
    process.off("exit", this.#onExit);
    this.#link.remove();
  }

  #readable(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    void this.#ready.readable().then(() => {
      // The ring of a closed source is no longer mapped.
      if (!this.#isClosed) resolve();
    });
    return promise;
  }

  /** The kernel reports ENETDOWN on the socket if the link is removed, or is no longer up. */
  #assertLink(): void {
    if (this.#stoppedAt !== undefined || socketError(this.#ring.fd) === 0) return;
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "capture from",
      address: this.name,
      message: "another process has removed the link",
    });
  }

  /** The kernel has no more packets for this socket: the last block is handed over after a timeout. */
  #isDrained(stoppedAt: number): boolean {
    const { packets, dropped } = this.#ring.statistics();
    return this.#received >= packets - dropped || performance.now() - stoppedAt > DRAIN_MS;
  }
}
