/** One connection with its socket on the host's side. */
import { closeDescriptor, shutdownWrite, writeDescriptor } from "../ffi/socket.ts";
import { ERRNO } from "../ffi/errno.ts";
import type { IoVector } from "../ffi/iovec.ts";
import { type Connection, Pending, State } from "../protocols/virtio-vsock/connection.ts";

/** How a read from the socket into guest memory ended, where it gave no bytes. */
export const NOTHING = 0;

const NO_ROOM = new Uint8Array(0);

/** Where the payload of a chain is, or room for it. */
export interface Payload {
  /** The pieces for readv and writev, as {@link limit} has set them. */
  readonly vector: IoVector;
  /** Its size in bytes. */
  readonly bytes: number;
  /** Fills {@link vector} with at most so many bytes. */
  limit(bytes: number): void;
  /** Copies payload behind `skip` bytes. */
  copyTo(target: Uint8Array, skip: number): void;
}

/** A connection's socket, and what of the guest's bytes it has not taken yet. */
export class HostConnection {
  readonly machine: Connection;
  readonly fd: number;
  /** Whether the muxer has it in its list of those with something to tell. */
  isListed = false;
  /** Told once the guest has answered the host's request. */
  onOpened: (() => void) | undefined;
  /** Bytes of the guest that wait for the socket: a ring of the machine's buffer size. */
  #waiting: Uint8Array | undefined;
  #begin = 0;
  #count = 0;
  #endsOutput = false;
  #closed = false;
  /** When it is killed whatever the guest does, by performance.now(); undefined: never. */
  deadline: number | undefined;

  constructor(machine: Connection, fd: number) {
    this.machine = machine;
    this.fd = fd;
  }

  /** Whether the socket is closed. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * Sends the guest's bytes on: straight from its memory while nothing waits, and what the socket
   * does not take is kept. The machine has seen to it that there is room.
   *
   * @param bytes what `payload` is limited to.
   */
  forward(payload: Payload, bytes: number): void {
    let taken = 0;
    if (this.#count === 0) {
      const written = payload.vector.writev(this.fd);
      if (written < 0 && written !== -ERRNO.EAGAIN) return this.#fail();
      taken = Math.max(written, 0);
      if (taken > 0) this.machine.onForwarded(taken);
    }
    if (taken < bytes) this.#keep(payload, bytes - taken, taken);
  }

  #keep(payload: Payload, bytes: number, skip: number): void {
    const room = (this.#waiting ??= new Uint8Array(this.machine.bufAlloc));
    const at = (this.#begin + this.#count) % room.length;
    const first = Math.min(bytes, room.length - at);
    payload.copyTo(room.subarray(at, at + first), skip);
    if (first < bytes) payload.copyTo(room.subarray(0, bytes - first), skip + first);
    this.#count += bytes;
  }

  /** The socket takes bytes again. */
  flush(): void {
    const room = this.#waiting ?? NO_ROOM;
    while (this.#count > 0) {
      const end = Math.min(this.#begin + this.#count, room.length);
      const written = writeDescriptor(this.fd, room.subarray(this.#begin, end));
      if (written === -ERRNO.EAGAIN || written === -ERRNO.EINTR) return;
      if (written < 0) return this.#fail();
      this.#begin = (this.#begin + written) % room.length;
      this.#count -= written;
      this.machine.onForwarded(written);
    }
    if (this.#endsOutput) this.#shutdown();
  }

  /** No more bytes of the guest will come: the socket is told behind what waits. */
  endOutput(): void {
    this.#endsOutput = true;
    if (this.#count === 0) this.#shutdown();
  }

  #shutdown(): void {
    this.#endsOutput = false;
    shutdownWrite(this.fd);
  }

  #fail(): void {
    this.#count = 0;
    this.machine.kill();
  }

  /**
   * Reads from the socket into guest memory.
   *
   * @returns the count of bytes; {@link NOTHING} where there are none now, or none any more: the
   * machine knows.
   */
  readInto(target: IoVector): number {
    const { machine } = this;
    const count = target.readv(this.fd);
    if (count > 0) return count;
    if (count === 0) machine.onHostEnd();
    else if (count === -ERRNO.EAGAIN || count === -ERRNO.EINTR) machine.pending &= ~Pending.Data;
    else machine.kill();
    return NOTHING;
  }

  /** Closes the socket at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeDescriptor(this.fd);
    if (this.machine.state !== State.Dead) this.machine.kill();
  }
}
