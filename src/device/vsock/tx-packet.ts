/** A packet of the guest in a chain of the TX queue: 44 bytes of header, then payload, in any pieces. */
import { IoVector } from "../../ffi/iovec.ts";
import { VIRTIO_VSOCK_HEADER_BYTES, PacketHeader } from "../../protocols/virtio-vsock/packet.ts";
import type { MemoryTable, PieceList } from "../vhost-user/memory-table.ts";
import type { PacketTap } from "./packet-tap.ts";
import { Chain } from "../vhost-user/virtqueue.ts";

/** The packet that is being processed; reused for each. */
export class TxPacket {
  readonly header = new PacketHeader();
  readonly chain: Chain;
  readonly #headerBytes = new Uint8Array(new ArrayBuffer(VIRTIO_VSOCK_HEADER_BYTES));
  readonly #headerView = new DataView(this.#headerBytes.buffer);
  readonly #table: MemoryTable;
  readonly #vector = new IoVector();

  /** @param entries size of the largest queue. */
  constructor(table: MemoryTable, entries: number) {
    this.#table = table;
    this.chain = new Chain(entries);
  }

  /** Reads the header from the chain; returns false if the chain is too short. */
  read(): boolean {
    const { readable } = this.chain;
    if (readable.bytes < VIRTIO_VSOCK_HEADER_BYTES) return false;
    if (readable.length(0) >= VIRTIO_VSOCK_HEADER_BYTES) {
      this.header.read(this.#table.dataView(readable.window(0)), readable.offset(0));
    } else {
      this.#table.read(readable, 0, this.#headerBytes);
      this.header.read(this.#headerView, 0);
    }
    return true;
  }

  /** How many bytes of payload the chain holds. */
  get bytes(): number {
    return Math.max(0, this.chain.readable.bytes - VIRTIO_VSOCK_HEADER_BYTES);
  }

  /** The pieces of the chain; the payload starts at {@link VIRTIO_VSOCK_HEADER_BYTES}. */
  get pieces(): PieceList {
    return this.chain.readable;
  }

  /** Returns the first `length` bytes of payload, for writev(2); valid until the next call. */
  vector(length: number): IoVector {
    this.#vector.clear();
    this.pieces.pushTo(this.#vector, VIRTIO_VSOCK_HEADER_BYTES, length);
    return this.#vector;
  }

  /** Passes the packet to a tap. */
  showTo(tap: PacketTap): void {
    this.header.write(this.#headerView, 0);
    tap.onPacket(this.header, this.#headerBytes, this.#table, this.pieces, this.header.len);
  }

  /** Copies payload that follows its first `skip` bytes. */
  copyTo(target: Uint8Array, skip: number): void {
    this.#table.read(this.pieces, VIRTIO_VSOCK_HEADER_BYTES + skip, target);
  }
}
