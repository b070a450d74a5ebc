/** A seqpacket connection: records keep their borders, and are kept here until they are whole. */
import { ERRNO } from "../../ffi/errno.ts";
import { RecordSocket } from "../../ffi/record.ts";
import { Pending } from "../../protocols/virtio-vsock/connection.ts";
import { type PacketHeader, RecordFlag } from "../../protocols/virtio-vsock/packet.ts";
import { HostConnection } from "./host-connection.ts";
import type { PacketRoom } from "./rx-buffers.ts";
import { RecordQueue } from "./seqpacket-queue.ts";
import type { SentPacket } from "./tx-packet.ts";

/** Longest record of the host that is taken, in bytes; a Unix socket's default send buffer is less. */
const MAX_RECORD_BYTES = 1024 * 1024;

/** A SOCK_SEQPACKET socket with its connection. */
export class RecordConnection extends HostConnection {
  #socket: RecordSocket | undefined;
  /** What has come of the guest's records. */
  readonly #queue = new RecordQueue(this.machine.bufAlloc);
  /** A record of the host on its way to the guest. */
  #buffer: Uint8Array | undefined;
  #begin = 0;
  #end = 0;

  override attach(fd: number): void {
    super.attach(fd);
    this.#socket = new RecordSocket(fd);
    this.#socket.makeRoom(this.machine.bufAlloc);
  }

  /** What has come of a record that will never be whole is dropped. */
  override endOutput(): void {
    this.#dropUnfinished();
    super.endOutput();
  }

  override drain(): void {
    this.#dropUnfinished();
    super.drain();
  }

  #dropUnfinished(): void {
    const bytes = this.#queue.dropUnfinished();
    if (bytes > 0) this.machine.onForwarded(bytes);
  }

  get waiting(): number {
    return this.#queue.records;
  }

  get waitingBytes(): number {
    return this.machine.waiting;
  }

  forward(packet: SentPacket, bytes: number): void {
    this.bytesFromGuest += bytes;
    if (this.machine.hostReadShutdown) return this.machine.onForwarded(bytes);
    // Records without bytes cost the guest no credit: without a bound they would fill the memory.
    if (this.#queue.records > this.machine.bufAlloc) return this.machine.kill();
    this.#queue.push(packet, bytes);
    const { flags } = packet.header;
    if ((flags & RecordFlag.EndOfMessage) === 0) return;
    this.#queue.finish((flags & RecordFlag.EndOfRecord) !== 0);
    this.flush();
  }

  protected dropWaiting(): void {
    let bytes = this.#queue.dropUnfinished();
    while (this.#queue.records > 0) bytes += this.#queue.shift();
    this.machine.onForwarded(bytes);
  }

  flush(): void {
    const queue = this.#queue;
    while (queue.records > 0) {
      const sent = this.#socket?.send(queue.first(), queue.firstHasEnd) ?? -ERRNO.EAGAIN;
      if (sent === -ERRNO.EINTR) continue;
      if (sent === -ERRNO.EAGAIN) return;
      // Also EMSGSIZE: the record can never be sent, and must not be missing in silence.
      if (sent < 0) return this.onWriteError(-sent);
      this.machine.onForwarded(queue.shift());
    }
    this.shutdownIfDone();
  }

  fill(room: PacketRoom, header: PacketHeader, guestCid: number): number {
    const { machine } = this;
    if (this.#begin === this.#end && !this.#receive()) return 0;
    const left = this.#end - this.#begin;
    const bytes = Math.min(left, room.bytes, machine.credit);
    room.write((this.#buffer as Uint8Array).subarray(this.#begin, this.#begin + bytes));
    this.#begin += bytes;
    this.bytesToGuest += bytes;
    let flags = 0;
    if (bytes === left) {
      const isEnd = this.#socket?.endOfRecord ?? false;
      flags = RecordFlag.EndOfMessage | (isEnd ? RecordFlag.EndOfRecord : 0);
    }
    machine.fillHeader(Pending.Data, header, guestCid, bytes, flags);
    room.put(header, bytes);
    return 1;
  }

  /** Whether there is a record of at least a byte. */
  #receive(): boolean {
    const { machine } = this;
    const room = (this.#buffer ??= new Uint8Array(new ArrayBuffer(MAX_RECORD_BYTES)));
    const count = this.#socket?.receive(room) ?? -ERRNO.EAGAIN;
    // A guest takes a record out of its buffer only once it is whole.
    if (count > machine.peerBufAlloc) machine.kill();
    else if (count > 0) {
      this.#begin = 0;
      this.#end = count;
      return true;
    }
    // An empty record is not passed on: its reader would see the end of input.
    else if (count === 0 && !this.hasEnd) machine.onDrained();
    else this.onNothingRead(count);
    return false;
  }
}
