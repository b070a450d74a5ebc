/**
 * Decides which connections get a large `buf_alloc`: those that have sent a whole small one, while the
 * VM has shares left. With little credit a guest that sends much waits after each packet; with large
 * buffers for all, a guest whose bytes are not read could fill the memory of the host.
 */
import { PacketType } from "../../protocols/virtio-vsock/packet.ts";
import type { HostConnection } from "./host-connection.ts";

/** The large `buf_alloc` in bytes: 16 of the largest packets of Linux (VIRTIO_VSOCK_MAX_PKT_BUF_SIZE). */
export const LARGE_BUFFER_BYTES = 1024 * 1024;

/** How many connections of a VM may have one at a time; the others keep their first buffer. */
const MAX_LARGE_BUFFERS = 64;

/** The shares of one VM. */
export class LargeBuffers {
  readonly #bytes: number;
  #count = 0;

  /** @param bytes the large `buf_alloc`; connections that have as much already get no share. */
  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** How many connections have a share, also those that have ended while bytes wait for a slow reader. */
  get count(): number {
    return this.#count;
  }

  /** Enlarges the buffer of a connection that sends much, if a share is left. */
  offer(connection: HostConnection): void {
    const { vsock, bytesFromGuest } = connection;
    if (vsock.bufAlloc >= this.#bytes || bytesFromGuest < vsock.bufAlloc) return;
    // A record has to fit into the socket's buffer, which was made for the first `buf_alloc`.
    if (vsock.type !== PacketType.Stream) return;
    if (this.#count === MAX_LARGE_BUFFERS) return;
    this.#count++;
    connection.onClosed = () => this.#count--;
    vsock.growBuffer(this.#bytes);
  }
}
