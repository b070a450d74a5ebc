/**
 * Readiness of a descriptor as the count of an eventfd: io_submit(2) with IOCB_CMD_POLL (Linux 4.18)
 * and IOCB_FLAG_RESFD, linux/aio_abi.h. For kernels that refuse io_uring (`uring-poll.ts`): a process that
 * has used this takes 20 to 40 ms longer to exit, since the kernel waits then until all processors have
 * let go of the context. io_destroy(2) waits as long.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { closeDescriptor } from "./socket.ts";
import { openEvent } from "./eventfd.ts";
import { libc, ptr } from "./libc.ts";

const IS_ARM64 = process.arch === "arm64";
const SYS_IO_SETUP = IS_ARM64 ? 0 : 206;
const SYS_IO_DESTROY = IS_ARM64 ? 1 : 207;
const SYS_IO_SUBMIT = IS_ARM64 ? 2 : 209;

const IOCB_CMD_POLL = 5;
const IOCB_FLAG_RESFD = 1;
const POLLIN = 1n;

/** sizeof(struct iocb), and the offsets of the fields in use. */
const IOCB_BYTES = 64;
const OPCODE_OFFSET = 16;
const FILE_OFFSET = 20;
const BUFFER_OFFSET = 24;
const FLAGS_OFFSET = 56;
const RESULT_FILE_OFFSET = 60;

/** struct aio_ring, which libaio reads in the same way: the positions, and the mark of its layout. */
const RING_BYTES = 32;
const RING_HEAD_OFFSET = 8;
const RING_TAIL_OFFSET = 12;
const RING_MAGIC_OFFSET = 16;
const RING_MAGIC = 0xa10a_10a1;

/** One request is pending at a time. */
const MAX_EVENTS = 4;

/** Signals an eventfd each time that a descriptor becomes readable after {@link arm}. */
export class AioPoll {
  /** The eventfd, non-blocking. It lives as long as this process. */
  readonly fd: number;
  readonly #context: bigint;
  readonly #ring: DataView;
  readonly #request = new DataView(new ArrayBuffer(IOCB_BYTES));
  readonly #requests = new BigUint64Array(new ArrayBuffer(8));

  private constructor(fd: number, context: bigint, ring: DataView) {
    this.fd = openEvent();
    this.#context = context;
    this.#ring = ring;
    this.#request.setUint16(OPCODE_OFFSET, IOCB_CMD_POLL, true);
    this.#request.setUint32(FILE_OFFSET, fd, true);
    this.#request.setBigUint64(BUFFER_OFFSET, POLLIN, true);
    this.#request.setUint32(FLAGS_OFFSET, IOCB_FLAG_RESFD, true);
    this.#request.setUint32(RESULT_FILE_OFFSET, this.fd, true);
    this.#requests[0] = BigInt(ptr(this.#request));
  }

  /**
   * Prepares to watch `fd`, which stays the caller's.
   *
   * @returns undefined if this kernel has no asynchronous I/O, or its quota is used up.
   */
  static open(fd: number): AioPoll | undefined {
    const cell = new BigUint64Array(new ArrayBuffer(8));
    if (Number(libc().syscall(SYS_IO_SETUP, MAX_EVENTS, ptr(cell), 0n, 0n)) !== 0) return undefined;
    const context = cell[0] ?? 0n;
    const ring = new DataView(toArrayBuffer(Number(context) as Pointer, 0, RING_BYTES));
    if (ring.getUint32(RING_MAGIC_OFFSET, true) === RING_MAGIC) {
      const poll = new AioPoll(fd, context, ring);
      if (poll.arm()) return poll;
      closeDescriptor(poll.fd);
    }
    const none = null;
    libc().syscall(SYS_IO_DESTROY, Number(context), none, 0n, 0n);
    return undefined;
  }

  /**
   * Asks for one more signal, unless the last one that was asked for is still to come.
   *
   * @returns whether a signal will come.
   */
  armAgain(): boolean {
    const isPending =
      this.#ring.getUint32(RING_HEAD_OFFSET, true) === this.#ring.getUint32(RING_TAIL_OFFSET, true);
    return isPending || this.arm();
  }

  /**
   * Asks for one more signal, as soon as the descriptor is readable.
   *
   * @returns whether the kernel accepted it.
   */
  arm(): boolean {
    // The results themselves are not of interest: the ring is emptied unread.
    this.#ring.setUint32(RING_HEAD_OFFSET, this.#ring.getUint32(RING_TAIL_OFFSET, true), true);
    const count = 1 as Pointer;
    const requests = BigInt(ptr(this.#requests));
    return Number(libc().syscall(SYS_IO_SUBMIT, Number(this.#context), count, requests, 0n)) === 1;
  }
}
