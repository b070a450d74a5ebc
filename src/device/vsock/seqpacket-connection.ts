/** A seqpacket connection: records keep their borders, and are kept here until they are whole. */
import { ERRNO } from "../../ffi/errno.ts";
import { RecordSocket } from "../../ffi/record.ts";
import { Pending } from "../../protocols/virtio-vsock/connection.ts";
import { type PacketHeader, RecordFlag } from "../../protocols/virtio-vsock/packet.ts";
import { HostConnection } from "./host-connection.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import { SeqpacketQueue } from "./seqpacket-queue.ts";
import type { TxPacket } from "./tx-packet.ts";

/** Longest record of the host that is taken, in bytes; a Unix socket's default send buffer is less. */
const MAX_RECORD_BYTES = 1024 * 1024;

/** A SOCK_SEQPACKET socket with its connection. */
export class SeqpacketConnection extends HostConnection {
  #socket: RecordSocket | undefined;
  /** What has come of the guest's records. */
  readonly #queue = new SeqpacketQueue(this.vsock.bufAlloc);
  /** A record of the host on its way to the guest. */
  #buffer: Uint8Array | undefined;
  #begin = 0;
  #end = 0;

  override attach(fd: number): void {
    super.attach(fd);
    this.#socket = new RecordSocket(fd);
    this.#socket.makeRoom(this.vsock.bufAlloc);
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
    if (bytes > 0) this.vsock.onForwarded(bytes);
  }

  get waiting(): number {
    return this.#queue.records;
  }

  get waitingBytes(): number {
    return this.vsock.waiting;
  }

  forward(packet: TxPacket, bytes: number): void {
    this.bytesFromGuest += bytes;
    if (this.vsock.hostReadShutdown) return this.vsock.onForwarded(bytes);
    // Records without bytes cost the guest no credit: without a bound they would fill the memory.
    if (this.#queue.records > this.vsock.bufAlloc) return this.vsock.kill();
    this.#queue.push(packet, bytes);
    const { flags } = packet.header;
    if ((flags & RecordFlag.EndOfMessage) === 0) return;
    this.#queue.finish((flags & RecordFlag.EndOfRecord) !== 0);
    this.flush();
  }

  protected dropWaiting(): void {
    let bytes = this.#queue.dropUnfinished();
    while (this.#queue.records > 0) bytes += this.#queue.shift();
    this.vsock.onForwarded(bytes);
  }

  flush(): void {
    const queue = this.#queue;
    while (queue.records > 0) {
      const sent = this.#socket?.send(queue.first(), queue.firstHasEnd) ?? -ERRNO.EAGAIN;
      if (sent === -ERRNO.EINTR) continue;
      if (sent === -ERRNO.EAGAIN) return;
      // Also EMSGSIZE: the record can never be sent, and must not be missing in silence.
      if (sent < 0) return this.onWriteError(-sent);
      this.vsock.onForwarded(queue.shift());
    }
    this.shutdownIfDone();
  }

  fill(room: RxBuffers, header: PacketHeader, guestCid: number): number {
    const { vsock } = this;
    if (this.#begin === this.#end && !this.#receive()) return 0;
    const left = this.#end - this.#begin;
    const bytes = Math.min(left, room.bytes, vsock.credit);
    room.write((this.#buffer as Uint8Array).subarray(this.#begin, this.#begin + bytes));
    this.#begin += bytes;
    this.bytesToGuest += bytes;
    let flags = 0;
    if (bytes === left) {
      const isEnd = this.#socket?.endOfRecord ?? false;
      flags = RecordFlag.EndOfMessage | (isEnd ? RecordFlag.EndOfRecord : 0);
    }
    vsock.fillHeader(Pending.Data, header, guestCid, bytes, flags);
    room.put(header, bytes);
    return 1;
  }

  /** Whether there is a record of at least a byte. */
  #receive(): boolean {
    const { vsock } = this;
    const room = (this.#buffer ??= new Uint8Array(new ArrayBuffer(MAX_RECORD_BYTES)));
    const count = this.#socket?.receive(room) ?? -ERRNO.EAGAIN;
    // A guest takes a record out of its buffer only once it is whole.
    if (count > vsock.peerBufAlloc) vsock.kill();
    else if (count > 0) {
      this.#begin = 0;
      this.#end = count;
      return true;
    }
    // An empty record is not passed on: its reader would see the end of input.
    else if (count === 0 && !this.hasEnd) vsock.onDrained();
    else this.onNothingRead(count);
    return false;
  }
}
