/** RSTs that wait for room in the guest: for packets to connections that are none. */
import { Op, type PacketHeader } from "../../protocols/virtio-vsock/packet.ts";

/** Most of them; a guest that provokes more has to make room before its packets are taken. */
const MAX_RESETS = 4096;
const FIELDS = 4;

/** A queue of fixed size. */
export class PendingResets {
  /** Source CID, source port, destination port and type of each. */
  readonly #fields = new Uint32Array(MAX_RESETS * FIELDS);
  #begin = 0;
  #count = 0;

  /** How many wait. */
  get count(): number {
    return this.#count;
  }

  /** Whether a guest has to read before it may provoke more; some stay free for others. */
  get isBusy(): boolean {
    return this.#count >= MAX_RESETS / 2;
  }

  /** Adds one; without room it is not told. */
  push(srcCid: number, srcPort: number, dstPort: number, type: number): void {
    if (this.#count === MAX_RESETS) return;
    const at = ((this.#begin + this.#count) % MAX_RESETS) * FIELDS;
    this.#fields[at] = srcCid;
    this.#fields[at + 1] = srcPort;
    this.#fields[at + 2] = dstPort;
    this.#fields[at + 3] = type;
    this.#count++;
  }

  /** Makes a header of the first and forgets it. */
  take(header: PacketHeader, guestCid: number): void {
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

  /** Forgets all. */
  clear(): void {
    this.#count = 0;
  }
}
