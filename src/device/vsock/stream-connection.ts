/** A stream: bytes go straight between the socket and guest memory. */
import { ERRNO } from "../../ffi/errno.ts";
import { writeDescriptor } from "../../ffi/socket.ts";
import { Pending } from "../../protocols/virtio-vsock/connection.ts";
import type { PacketHeader } from "../../protocols/virtio-vsock/packet.ts";
import { ByteRing } from "./byte-ring.ts";
import { HostConnection } from "./host-connection.ts";
import { MAX_CHAINS, type RxBuffers } from "./rx-buffers.ts";
import type { TxPacket } from "./tx-packet.ts";

/** A SOCK_STREAM socket with its connection. */
export class StreamConnection extends HostConnection {
  /** Bytes of the guest that wait for the socket. */
  readonly #bytes = new ByteRing(this.vsock.bufAlloc);
  /** How many chains the next read is given: as many as the last ones were able to fill. */
  #chains = 1;

  get waiting(): number {
    return this.#bytes.count;
  }

  get waitingBytes(): number {
    return this.#bytes.count;
  }

  /** Straight from guest memory while nothing waits; what the socket does not take is kept. */
  forward(packet: TxPacket, bytes: number): void {
    this.bytesFromGuest += bytes;
    if (this.vsock.hostReadShutdown) return this.vsock.onForwarded(bytes);
    let taken = 0;
    if (this.#bytes.count === 0) {
      const written = packet.vector(bytes).writev(this.fd);
      if (written < 0 && written !== -ERRNO.EAGAIN && written !== -ERRNO.EINTR) {
        this.onWriteError(-written);
        return this.vsock.onForwarded(bytes);
      }
      taken = Math.max(written, 0);
      if (taken > 0) this.vsock.onForwarded(taken);
    }
    if (taken < bytes) this.#bytes.push(packet, taken, bytes - taken);
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

  fill(room: RxBuffers, header: PacketHeader, guestCid: number): number {
    const { vsock } = this;
    const vector = room.vector(vsock.credit, this.#chains);
    const count = vector.readv(this.fd);
    if (count <= 0) {
      this.onNothingRead(count);
      return 0;
    }
    this.bytesToGuest += count;
    if (count === vector.bytes) this.#chains = Math.min(this.#chains * 2, MAX_CHAINS);
    else {
      if (count * 2 < vector.bytes) this.#chains = Math.max(1, this.#chains >> 1);
      // A short read has emptied the socket, and epoll tells of what comes from now on: epoll(7).
      if (!this.hasEnd) vsock.onDrained();
    }
    let packets = 0;
    for (let left = count; left > 0; packets++) {
      const bytes = Math.min(left, room.bytes);
      vsock.fillHeader(Pending.Data, header, guestCid, bytes);
      room.put(header, bytes);
      left -= bytes;
    }
    return packets;
  }
}
