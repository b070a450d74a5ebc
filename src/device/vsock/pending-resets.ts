/** RSTs that wait for an RX buffer and have no connection: replies to packets with unknown ports. */
import { Op, type PacketHeader } from "../../protocols/virtio-vsock/packet.ts";

/** Capacity; a guest that causes more has to offer RX buffers before its packets are processed. */
const MAX_RESETS = 4096;
const FIELDS = 4;

/** A queue of fixed capacity. */
export class PendingResets {
  /** Source CID, source port, destination port and type of each. */
  readonly #fields = new Uint32Array(MAX_RESETS * FIELDS);
  #begin = 0;
  #count = 0;

  /** How many are queued. */
  get count(): number {
    return this.#count;
  }

  /** Whether the guest has to read before it causes more; the other half is left to sibling VMs. */
  get isHalfFull(): boolean {
    return this.#count >= MAX_RESETS / 2;
  }

  /** Adds an RST; drops it if the queue is full. */
  push(srcCid: number, srcPort: number, dstPort: number, type: number): void {
    if (this.#count === MAX_RESETS) return;
    const at = ((this.#begin + this.#count) % MAX_RESETS) * FIELDS;
    this.#fields[at] = srcCid;
    this.#fields[at + 1] = srcPort;
    this.#fields[at + 2] = dstPort;
    this.#fields[at + 3] = type;
    this.#count++;
  }

  /** Removes the first RST and writes it into a header. */
  shift(header: PacketHeader, guestCid: number): void {
    const at = this.#begin * FIELDS;
    header.srcCid = this.#fields[at] ?? 0;
    header.srcPort = this.#fields[at + 1] ?? 0;
    header.dstCid = guestCid;
    header.dstPort = this.#fields[at + 2] ?? 0;
    header.type = this.#fields[at + 3] ?? 0;
    header.op = Op.Rst;
    header.len = header.flags = header.bufAlloc = header.fwdCnt = 0;
    this.#begin = (this.#begin + 1) % MAX_RESETS;
    this.#count--;
  }

  /** Removes all. */
  clear(): void {
    this.#count = 0;
  }
}
