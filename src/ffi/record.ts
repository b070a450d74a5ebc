/** One record of a SOCK_SEQPACKET socket at a time: sendmsg(2) and recvmsg(2) with their flags. */
import { lastErrno, libc, ptr } from "./libc.ts";
import { setOption } from "./socket.ts";

/** recv(2) flags. */
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_EOR = 0x80;
const MSG_NOSIGNAL = 0x4000;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;

/** sizeof(struct msghdr) on 64-bit architectures; msg_iov at 16, msg_iovlen at 24, msg_flags at 48. */
const MSGHDR_BYTES = 56;
const IOVEC_BYTES = 16;

/** EMSGSIZE: the record is longer than the buffer; asm-generic/errno.h. */
const EMSGSIZE = 90;

/** The buffer of a record without bytes. */
const NOTHING = new Uint8Array(new ArrayBuffer(8));

/** Sends and receives records of one socket, with nothing allocated for each. */
export class RecordSocket {
  readonly #fd: number;
  readonly #message = new DataView(new ArrayBuffer(MSGHDR_BYTES));
  readonly #iovec = new DataView(new ArrayBuffer(IOVEC_BYTES));
  readonly #messageAddress = ptr(this.#message);
  /** Whether the last record received had MSG_EOR. */
  endOfRecord = false;

  constructor(fd: number) {
    this.#fd = fd;
    this.#message.setBigUint64(16, BigInt(ptr(this.#iovec)), true);
    this.#message.setBigUint64(24, 1n, true);
  }

  /** Requests a send buffer for a record of `bytes`; the kernel has a limit, socket(7). */
  makeRoom(bytes: number): void {
    const size = new Uint8Array(Uint32Array.of(bytes).buffer);
    setOption(this.#fd, SOL_SOCKET, SO_SNDBUF, size);
  }

  /**
   * Sends `bytes` as one record, whole or not at all.
   *
   * @returns its size, or the errno as a negative number: -EAGAIN if the send buffer is full,
   * -EMSGSIZE if the record exceeds it.
   */
  send(bytes: Uint8Array, endOfRecord: boolean): number {
    this.#point(bytes);
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL | (endOfRecord ? MSG_EOR : 0);
    const count = Number(libc().sendmsg(this.#fd, this.#messageAddress, flags));
    return count < 0 ? -lastErrno() : count;
  }

  /**
   * Receives the next record.
   *
   * @returns its size; 0 for an empty one and at the end of input; or the errno as a negative number:
   * -EMSGSIZE for a record that is longer than `room`; the record is lost.
   */
  receive(room: Uint8Array): number {
    this.#point(room);
    const count = Number(libc().recvmsg(this.#fd, this.#messageAddress, MSG_DONTWAIT));
    if (count < 0) return -lastErrno();
    const flags = this.#message.getUint32(48, true);
    this.endOfRecord = (flags & MSG_EOR) !== 0;
    return (flags & MSG_TRUNC) === 0 ? count : -EMSGSIZE;
  }

  #point(bytes: Uint8Array): void {
    this.#iovec.setBigUint64(0, BigInt(ptr(bytes.length === 0 ? NOTHING : bytes)), true);
    this.#iovec.setBigUint64(8, BigInt(bytes.length), true);
    this.#message.setUint32(48, 0, true);
  }
}
