/** Connections that keep to the rules, and what the guest has granted each one, rules or not. */
import { closeDescriptor, shutdownWrite, writeDescriptor } from "../../src/ffi/socket.ts";
import { Op, type PacketHeader } from "../../src/protocols/virtio-vsock/packet.ts";
import { readAll } from "../support/local-device.ts";
import { BUF_ALLOC, type PacketFields, type VsockDriver } from "../support/vsock-driver.ts";
import { promise } from "./promises.ts";

/** Credit of each connection as the device knows it; by both ports. */
export class Ledger {
  readonly #entries = new Map<string, { bufAlloc: number; fwdCnt: number; received: number }>();

  /** The guest has sent a packet that is not for somebody else. */
  onSent({ op, srcPort = 0, dstPort = 0, bufAlloc = BUF_ALLOC, fwdCnt = 0 }: PacketFields): void {
    const key = `${dstPort}:${srcPort}`;
    const before = this.#entries.get(key);
    if (op === Op.Request) this.#entries.set(key, { bufAlloc, fwdCnt, received: 0 });
    else if (before !== undefined) Object.assign(before, { bufAlloc, fwdCnt });
  }

  /** The device has sent a packet. */
  onReceived({ op, srcPort, dstPort, len }: PacketHeader): void {
    const key = `${srcPort}:${dstPort}`;
    if (op === Op.Request) this.#entries.set(key, { bufAlloc: 0, fwdCnt: 0, received: 0 });
    if (op !== Op.Rw) return;
    const entry = this.#entries.get(key);
    if (entry === undefined) return promise(false, "data comes on connections alone");
    entry.received = (entry.received + len) >>> 0;
    const unread = (entry.received - entry.fwdCnt) >>> 0;
    promise(unread <= entry.bufAlloc, "nothing is sent beyond the guest's credit");
  }
}

/** Largest part of a stream that is sent at once, in bytes. */
const PART_BYTES = 4000;

/** A connection that works: its bytes have to arrive in order, unchanged and all of them. */
export class HonestStream {
  #sentByGuest = 0;
  #readByHost = 0;
  #sentByHost = 0;
  #readByGuest = 0;
  #deviceFwdCnt = 0;
  #deviceBufAlloc: number;
  #hasEnded = false;

  constructor(
    readonly driver: VsockDriver,
    readonly send: (fields: PacketFields) => boolean,
    readonly guestPort: number,
    readonly hostPort: number,
    readonly fd: number,
    bufAlloc: number,
  ) {
    this.#deviceBufAlloc = bufAlloc;
  }

  #byte(position: number): number {
    return (position * 31 + (position >>> 8) + this.guestPort) & 0xff;
  }

  #part(from: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let index = 0; index < length; index++) bytes[index] = this.#byte(from + index);
    return bytes;
  }

  #check(bytes: Uint8Array, from: number): void {
    let wrong = 0;
    for (let index = 0; index < bytes.length; index++) {
      if (bytes[index] !== this.#byte(from + index)) wrong++;
    }
    promise(wrong === 0, "bytes arrive in order and unchanged");
  }

  #tell(op: number, fields: PacketFields = {}): boolean {
    const { guestPort: srcPort, hostPort: dstPort } = this;
    return this.send({ op, srcPort, dstPort, fwdCnt: this.#readByGuest, ...fields });
  }

  /** The guest sends up to so many bytes, as its credit allows. */
  guestSends(wanted: number, pieces: number): void {
    const credit = this.#deviceBufAlloc - (this.#sentByGuest - this.#deviceFwdCnt);
    const length = Math.min(wanted, credit, PART_BYTES);
    if (length <= 0) return;
    const payload = this.#part(this.#sentByGuest, length);
    if (this.#tell(Op.Rw, { payload, pieces })) this.#sentByGuest += length;
  }

  /** The host reads what is there. */
  hostReads(): void {
    const bytes = readAll(this.fd);
    if (bytes === undefined) return promise(this.#hasEnded, "a stream does not end by itself");
    this.#check(bytes, this.#readByHost);
    this.#readByHost += bytes.length;
  }

  /** The host sends up to so many bytes. */
  hostSends(length: number): void {
    const taken = writeDescriptor(
      this.fd,
      this.#part(this.#sentByHost, Math.min(length, PART_BYTES)),
    );
    this.#sentByHost += Math.max(taken, 0);
  }

  /** The guest says what it has read. */
  guestTells(): void {
    this.#tell(Op.CreditUpdate);
  }

  /** A packet of the device for this connection. */
  onPacket(header: PacketHeader, payload: Uint8Array): void {
    promise(header.op !== Op.Rst, "a connection that keeps to the rules is not reset");
    promise(header.op !== Op.Shutdown || this.#hasEnded, "a stream does not end by itself");
    this.#deviceFwdCnt = header.fwdCnt;
    this.#deviceBufAlloc = header.bufAlloc;
    promise(
      this.#sentByGuest - header.fwdCnt >= 0 && header.fwdCnt <= this.#sentByGuest,
      "the device has not taken more than it got",
    );
    if (header.op !== Op.Rw) return;
    promise(payload.length === header.len, "the length is that of the payload");
    this.#check(payload, this.#readByGuest);
    this.#readByGuest += payload.length;
  }

  /** Whether all that was sent has arrived. */
  get isSettled(): boolean {
    return this.#readByHost === this.#sentByGuest && this.#readByGuest === this.#sentByHost;
  }

  /** The host's end is over. */
  end(): void {
    this.#hasEnded = true;
    shutdownWrite(this.fd);
    closeDescriptor(this.fd);
  }
}
