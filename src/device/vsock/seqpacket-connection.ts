/**
 * A seqpacket connection (SOCK_SEQPACKET; virtio 1.2, 5.10.6.7): records keep their boundaries.
 *
 * A record of the guest may come in several RW packets, the last of which has VIRTIO_VSOCK_SEQ_EOM. It is
 * queued until it is complete, and sent to the socket as one message. A record of the host is received
 * whole, and sent to the guest in as many packets as credit and RX buffers need.
 */
import { ERRNO } from "../../ffi/errno.ts";
import type { PrivateMapping } from "../../ffi/mmap.ts";
import { RecordSocket } from "../../ffi/record.ts";
import { Pending } from "../../protocols/virtio-vsock/connection.ts";
import { type PacketHeader, RecordFlag } from "../../protocols/virtio-vsock/packet.ts";
import { buffers } from "./buffer-pool.ts";
import { HostConnection } from "./host-connection.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import { SeqpacketQueue } from "./seqpacket-queue.ts";
import type { TxPacket } from "./tx-packet.ts";

/** Longest record of the host in bytes; a Unix socket's default send buffer holds less. */
const MAX_RECORD_BYTES = 1024 * 1024;

/** A connection with a SOCK_SEQPACKET socket. */
export class SeqpacketConnection extends HostConnection {
  #socket: RecordSocket | undefined;
  /** Records of the guest, the last of which may be incomplete. */
  readonly #queue = new SeqpacketQueue(buffers, this.vsock.bufAlloc);
  /** The record of the host that is being sent, of which bytes `#begin` to `#end` are left. */
  #record: PrivateMapping | undefined;
  #begin = 0;
  #end = 0;

  override attach(fd: number): void {
    super.attach(fd);
    this.#socket = new RecordSocket(fd);
    this.#socket.makeRoom(this.vsock.bufAlloc);
  }

  /** Drops an incomplete record, whose end will never come. */
  override endOutput(): void {
    this.#dropIncomplete();
    super.endOutput();
  }

  override drain(): void {
    this.#dropIncomplete();
    super.drain();
  }

  #dropIncomplete(): void {
    const bytes = this.#queue.dropIncomplete();
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
    // Empty records cost the guest no credit; without a limit they would fill the memory.
    if (this.#queue.records > this.vsock.bufAlloc) return this.vsock.kill();
    this.#queue.push(packet, bytes);
    const { flags } = packet.header;
    if ((flags & RecordFlag.EndOfMessage) === 0) return;
    this.#queue.finish((flags & RecordFlag.EndOfRecord) !== 0);
    this.flush();
  }

  protected dropWaiting(): void {
    let bytes = this.#queue.dropIncomplete();
    while (this.#queue.records > 0) bytes += this.#queue.shift();
    this.vsock.onForwarded(bytes);
  }

  flush(): void {
    const queue = this.#queue;
    while (queue.records > 0) {
      const sent = this.#socket?.send(queue.first(), queue.firstHasEor) ?? -ERRNO.EAGAIN;
      if (sent === -ERRNO.EINTR) continue;
      if (sent === -ERRNO.EAGAIN) return;
      // EMSGSIZE too: the record can never be sent, and must not be dropped silently.
      if (sent < 0) return this.onWriteError(-sent);
      this.vsock.onForwarded(queue.shift());
    }
    this.shutdownIfDone();
  }

  compact(): void {
    this.#queue.compact();
  }

  protected freeBuffers(): void {
    this.#queue.clear();
    this.#freeRecord();
  }

  #freeRecord(): void {
    const record = this.#record;
    this.#record = undefined;
    if (record !== undefined) buffers.give(record);
  }

  fill(rx: RxBuffers, header: PacketHeader, guestCid: number): number {
    const { vsock } = this;
    const record = this.#record ?? this.#receive();
    if (record === undefined) return 0;
    const left = this.#end - this.#begin;
    const bytes = Math.min(left, rx.bytes, vsock.credit);
    rx.write(record.bytes.subarray(this.#begin, this.#begin + bytes));
    this.#begin += bytes;
    this.bytesToGuest += bytes;
    let flags = 0;
    if (bytes === left) {
      const hasEor = this.#socket?.endOfRecord ?? false;
      flags = RecordFlag.EndOfMessage | (hasEor ? RecordFlag.EndOfRecord : 0);
      this.#freeRecord();
    }
    vsock.fillHeader(Pending.Data, header, guestCid, bytes, flags);
    rx.put(header, bytes);
    return 1;
  }

  /** Receives the host's next record; returns undefined if there is none of at least one byte. */
  #receive(): PrivateMapping | undefined {
    const { vsock } = this;
    const record = buffers.take(MAX_RECORD_BYTES);
    const count = this.#socket?.receive(record.bytes) ?? -ERRNO.EAGAIN;
    // The guest frees its buffer only after a whole record, so a longer one would wait forever.
    if (count > vsock.peerBufAlloc) vsock.kill();
    else if (count > 0) {
      this.#begin = 0;
      this.#end = count;
      this.#record = record;
      return record;
    }
    // An empty record is not passed on: its reader would see the end of input.
    else if (count === 0 && !this.hasEndOfInput) vsock.onDrained();
    else this.onNothingRead(count);
    buffers.give(record);
    return undefined;
  }
}
