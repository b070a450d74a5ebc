/** A stream: bytes go straight between the socket and guest memory. */
import { ERRNO } from "../ffi/errno.ts";
import { writeDescriptor } from "../ffi/socket.ts";
import { Pending } from "../protocols/virtio-vsock/connection.ts";
import type { PacketHeader } from "../protocols/virtio-vsock/packet.ts";
import { HostConnection } from "./host-connection.ts";
import { MAX_CHAINS, type PacketRoom } from "./packet-room.ts";
import type { SentPacket } from "./sent-packet.ts";

const NO_ROOM = new Uint8Array(0);

/** A SOCK_STREAM socket with its connection. */
export class StreamConnection extends HostConnection {
  /** Bytes of the guest that wait for the socket: a ring of the machine's buffer size. */
  #buffer: Uint8Array | undefined;
  #begin = 0;
  #count = 0;
  /** How many chains the next read is given: as many as the last ones were able to fill. */
  #chains = 1;

  get waiting(): number {
    return this.#count;
  }

  /** Straight from guest memory while nothing waits; what the socket does not take is kept. */
  forward(packet: SentPacket, bytes: number): void {
    this.bytesFromGuest += bytes;
    let taken = 0;
    if (this.#count === 0) {
      const written = packet.vector(bytes).writev(this.fd);
      if (written < 0 && written !== -ERRNO.EAGAIN && written !== -ERRNO.EINTR) return this.#fail();
      taken = Math.max(written, 0);
      if (taken > 0) this.machine.onForwarded(taken);
    }
    if (taken < bytes) this.#keep(packet, bytes - taken, taken);
  }

  #keep(packet: SentPacket, bytes: number, skip: number): void {
    const room = (this.#buffer ??= new Uint8Array(this.machine.bufAlloc));
    const at = (this.#begin + this.#count) % room.length;
    const first = Math.min(bytes, room.length - at);
    packet.copyTo(room.subarray(at, at + first), skip);
    if (first < bytes) packet.copyTo(room.subarray(0, bytes - first), skip + first);
    this.#count += bytes;
  }

  flush(): void {
    const room = this.#buffer ?? NO_ROOM;
    while (this.#count > 0) {
      const end = Math.min(this.#begin + this.#count, room.length);
      const written = writeDescriptor(this.fd, room.subarray(this.#begin, end));
      if (written === -ERRNO.EINTR) continue;
      if (written === -ERRNO.EAGAIN) return;
      if (written < 0) return this.#fail();
      this.#begin = (this.#begin + written) % room.length;
      this.#count -= written;
      this.machine.onForwarded(written);
    }
    this.shutdownIfDone();
  }

  #fail(): void {
    this.#count = 0;
    this.machine.kill();
  }

  fill(room: PacketRoom, header: PacketHeader, guestCid: number): number {
    const { machine } = this;
    const vector = room.vector(machine.credit, this.#chains);
    const count = vector.readv(this.fd);
    if (count <= 0) {
      this.#onNothing(count);
      return 0;
    }
    this.bytesToGuest += count;
    if (count === vector.bytes) this.#chains = Math.min(this.#chains * 2, MAX_CHAINS);
    else {
      if (count * 2 < vector.bytes) this.#chains = Math.max(1, this.#chains >> 1);
      // A short read has emptied the socket, and epoll tells of what comes from now on: epoll(7).
      if (!this.hasEnd) machine.onDrained();
    }
    let packets = 0;
    for (let left = count; left > 0; packets++) {
      const bytes = Math.min(left, room.bytes);
      machine.tell(Pending.Data, header, guestCid, bytes);
      room.put(header, bytes);
      left -= bytes;
    }
    return packets;
  }

  #onNothing(count: number): void {
    const { machine } = this;
    if (count === 0) machine.onHostEnd();
    else if (count === -ERRNO.EAGAIN) machine.onDrained();
    else if (count !== -ERRNO.EINTR) machine.kill();
  }
}
