/**
 * Readiness of a descriptor as the count of an eventfd: io_uring(7) with IORING_OP_POLL_ADD and a
 * registered eventfd (Linux 5.4), linux/io_uring.h. The runtime can wait for an eventfd, but not for an
 * epoll.
 *
 * The kernel completes a poll as work of the thread that submitted it, so that an epoll_wait(2) in which
 * this thread blocks may end early with EINTR.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { openEvent } from "./eventfd.ts";
import { libc, ptr, systemCall } from "./libc.ts";
import { closeDescriptor } from "./socket.ts";

/** The same on all architectures. */
const SYS_IO_URING_SETUP = 425;
const SYS_IO_URING_ENTER = 426;
const SYS_IO_URING_REGISTER = 427;

const IORING_REGISTER_EVENTFD = 4;
const IORING_OP_POLL_ADD = 6;
const IORING_OFF_SQ_RING = 0n;
const IORING_OFF_SQES = 0x1000_0000n;
/** Both rings are one mapping. */
const IORING_FEAT_SINGLE_MMAP = 1;

/** One request is pending at a time. */
const ENTRIES = 1;

/** sizeof(struct io_uring_params), and its fields in use. The positions of the rings are in their mapping. */
const PARAMS_BYTES = 120;
const PARAMS = {
  sqEntries: 0,
  cqEntries: 4,
  features: 20,
  sqTail: 44,
  sqArray: 64,
  cqHead: 80,
  cqTail: 84,
  cqMask: 88,
  cqes: 100,
} as const;

/** struct io_uring_sqe: its size, and the offsets of the fields in use. */
const SQE_BYTES = 64;
const SQE_OPCODE_OFFSET = 0;
const SQE_FILE_OFFSET = 4;
const SQE_EVENTS_OFFSET = 28;
const POLLIN = 1;

/** struct io_uring_cqe. */
const CQE_BYTES = 16;
const CQE_RESULT_OFFSET = 8;

/** bits/mman-linux.h. */
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

const INDEX_BYTES = 4;

/** Where the fields of the rings are in their mapping. */
type RingOffsets = Record<"sqTail" | "cqHead" | "cqTail" | "cqMask" | "cqes", number>;

/** Maps a part of an io_uring instance; undefined if the kernel refuses, as by RLIMIT_MEMLOCK. */
function map(fd: number, offset: bigint, bytes: number): DataView | undefined {
  const address = Number(libc().mmap(null, bytes, PROT_READ_WRITE, MAP_SHARED, fd, offset));
  if (address === -1) return undefined;
  return new DataView(toArrayBuffer(address as Pointer, 0, bytes));
}

/** Signals an eventfd each time that a descriptor becomes readable after {@link arm}. */
export class UringPoll {
  /** The eventfd, non-blocking. It lives as long as this process. */
  readonly fd: number;
  /** The descriptor of the io_uring instance. */
  readonly #instance: number;
  readonly #rings: DataView;
  readonly #offsets: RingOffsets;

  private constructor(event: number, instance: number, rings: DataView, offsets: RingOffsets) {
    this.fd = event;
    this.#instance = instance;
    this.#rings = rings;
    this.#offsets = offsets;
  }

  /**
   * Prepares to watch `fd`, which stays the caller's.
   *
   * @returns undefined if this kernel has no io_uring, or refuses it: kernel.io_uring_disabled, and the
   * seccomp filters of most containers.
   */
  static open(fd: number): UringPoll | undefined {
    const params = new DataView(new ArrayBuffer(PARAMS_BYTES));
    const instance = systemCall(SYS_IO_URING_SETUP, ENTRIES, ptr(params));
    if (instance < 0) return undefined;
    const event = openEvent();
    const poll = prepare(instance, event, fd, params);
    if (poll !== undefined) {
      const opened = new UringPoll(event, instance, ...poll);
      if (opened.arm() && !opened.#hasFailed) return opened;
    }
    // Its mappings, two pages, stay: this happens once in a process, if at all.
    for (const unused of [instance, event]) closeDescriptor(unused);
    return undefined;
  }

  /**
   * Asks for one more signal, unless the last one that was asked for is still to come.
   *
   * @returns whether a signal will come.
   */
  armAgain(): boolean {
    const { cqHead, cqTail } = this.#offsets;
    if (this.#get(cqHead) === this.#get(cqTail)) return true;
    return !this.#hasFailed && this.arm();
  }

  /**
   * Asks for one more signal, as soon as the descriptor is readable.
   *
   * @returns whether the kernel accepted it.
   */
  arm(): boolean {
    const { sqTail, cqHead, cqTail } = this.#offsets;
    this.#set(cqHead, this.#get(cqTail));
    this.#set(sqTail, this.#get(sqTail) + 1);
    return systemCall(SYS_IO_URING_ENTER, this.#instance, 1) === 1;
  }

  /** Whether the last poll that has completed failed, as where io_uring is there without polls. */
  get #hasFailed(): boolean {
    const { cqHead, cqTail, cqMask, cqes } = this.#offsets;
    const tail = this.#get(cqTail);
    if (this.#get(cqHead) === tail) return false;
    const index = (tail - 1) & this.#get(cqMask);
    return this.#rings.getInt32(cqes + index * CQE_BYTES + CQE_RESULT_OFFSET, true) < 0;
  }

  #get(offset: number): number {
    return this.#rings.getUint32(offset, true);
  }

  #set(offset: number, value: number): void {
    this.#rings.setUint32(offset, value, true);
  }
}

/** Registers the eventfd, maps the rings, and writes the only request, which each submission repeats. */
function prepare(
  instance: number,
  event: number,
  fd: number,
  params: DataView,
): [rings: DataView, offsets: RingOffsets] | undefined {
  const value = (offset: number) => params.getUint32(offset, true);
  if ((value(PARAMS.features) & IORING_FEAT_SINGLE_MMAP) === 0) return undefined;
  const cell = new Int32Array(new ArrayBuffer(4));
  cell[0] = event;
  const error = systemCall(SYS_IO_URING_REGISTER, instance, IORING_REGISTER_EVENTFD, ptr(cell), 1);
  if (error !== 0) return undefined;
  const ringBytes = Math.max(
    value(PARAMS.sqArray) + value(PARAMS.sqEntries) * INDEX_BYTES,
    value(PARAMS.cqes) + value(PARAMS.cqEntries) * CQE_BYTES,
  );
  const rings = map(instance, IORING_OFF_SQ_RING, ringBytes);
  const request = map(instance, IORING_OFF_SQES, SQE_BYTES);
  if (rings === undefined || request === undefined) return undefined;
  request.setUint8(SQE_OPCODE_OFFSET, IORING_OP_POLL_ADD);
  request.setInt32(SQE_FILE_OFFSET, fd, true);
  request.setUint32(SQE_EVENTS_OFFSET, POLLIN, true);
  rings.setUint32(value(PARAMS.sqArray), 0, true);
  const { sqTail, cqHead, cqTail, cqMask, cqes } = PARAMS;
  return [
    rings,
    {
      sqTail: value(sqTail),
      cqHead: value(cqHead),
      cqTail: value(cqTail),
      cqMask: value(cqMask),
      cqes: value(cqes),
    },
  ];
}
