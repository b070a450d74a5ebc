/**
 * A stream connection (SOCK_STREAM): payload moves between the socket and guest memory by readv(2) and
 * writev(2), without a copy in between.
 *
 * Towards the host, bytes that the socket does not accept are copied into a ring of up to
 * `buf_alloc` bytes; as long as the ring is not empty, all later bytes go through it. Credit is returned to the guest when
 * the socket has accepted the bytes.
 *
 * Towards the guest, one readv(2) fills several RX buffers. Linux offers them with 4 KiB each, so the
 * number of buffers doubles while reads fill all of them, and halves when they fill less than half.
 */
import { ERRNO } from "../../ffi/errno.ts";
import { writeDescriptor } from "../../ffi/socket.ts";
import { Pending } from "../../protocols/virtio-vsock/connection.ts";
import type { PacketHeader } from "../../protocols/virtio-vsock/packet.ts";
import { buffers } from "./buffer-pool.ts";
import { ByteRing } from "./byte-ring.ts";
import { HostConnection } from "./host-connection.ts";
import { MAX_CHAINS, type RxBuffers } from "./rx-buffers.ts";
import type { TxPacket } from "./tx-packet.ts";

/** A connection with a SOCK_STREAM socket. */
export class StreamConnection extends HostConnection {
  /** Bytes of the guest that are queued for the socket. */
  readonly #bytes = new ByteRing(buffers, () => this.vsock.bufAlloc);
  /** How many chains the next read may fill. */
  #chains = 1;

  get waiting(): number {
    return this.#bytes.count;
  }

  get waitingBytes(): number {
    return this.#bytes.count;
  }

  forward(packet: TxPacket, bytes: number): void {
    this.bytesFromGuest += bytes;
    if (this.vsock.hostReadShutdown) return this.vsock.onForwarded(bytes);
    let accepted = 0;
    if (this.#bytes.count === 0) {
      const written = packet.vector(bytes).writev(this.fd);
      if (written < 0 && written !== -ERRNO.EAGAIN && written !== -ERRNO.EINTR) {
        this.onWriteError(-written);
        return this.vsock.onForwarded(bytes);
      }
      accepted = Math.max(written, 0);
      if (accepted > 0) this.vsock.onForwarded(accepted);
    }
    if (accepted < bytes) this.#bytes.push(packet, accepted, bytes - accepted);
  }

  flush(): void {
    while (this.#bytes.count > 0) {
      const written = writeDescriptor(this.fd, this.#bytes.piece());
      if (written === -ERRNO.EINTR) continue;
      if (written === -ERRNO.EAGAIN) return;
      if (written < 0) return this.onWriteError(-written);
      this.#bytes.shift(written);
      this.vsock.onForwarded(written);
    }
    this.shutdownIfDone();
  }

  protected dropWaiting(): void {
    const { count } = this.#bytes;
    this.#bytes.drop(count);
    this.vsock.onForwarded(count);
  }

  compact(): void {
    this.#bytes.compact();
  }

  protected freeBuffers(): void {
    this.#bytes.clear();
  }

  fill(rx: RxBuffers, header: PacketHeader, guestCid: number): number {
    const { vsock } = this;
    const vector = rx.vector(vsock.credit, this.#chains);
    const count = vector.readv(this.fd);
    if (count <= 0) {
      this.onNothingRead(count);
      return 0;
    }
    this.bytesToGuest += count;
    if (count === vector.bytes) this.#chains = Math.min(this.#chains * 2, MAX_CHAINS);
    else {
      if (count * 2 < vector.bytes) this.#chains = Math.max(1, this.#chains >> 1);
      // A short read has emptied the socket, and epoll reports the bytes that follow: epoll(7).
      if (!this.hasEndOfInput) vsock.onDrained();
    }
    let packets = 0;
    for (let left = count; left > 0; packets++) {
      const bytes = Math.min(left, rx.bytes);
      vsock.fillHeader(Pending.Data, header, guestCid, bytes);
      rx.put(header, bytes);
      left -= bytes;
    }
    return packets;
  }
}
