/**
 * Reading and writing without waiting on a descriptor that others share, whose O_NONBLOCK is theirs:
 * preadv2(2) and pwritev2(2) with RWF_NOWAIT. Pipes have it since Linux 6.4, sockets since 4.15.
 */
import { FFIType, type Pointer } from "bun:ffi";
import { lastErrno, openLibc, ptr } from "./libc.ts";

const { i32, i64_fast, u64, pointer } = FFIType;

/** By number, since musl has the functions only since 1.2.5. */
const SYMBOLS = {
  syscall: { args: [i64_fast, i32, pointer, u64, i64_fast, i64_fast, i32], returns: i64_fast },
} as const;

const IS_ARM64 = process.arch === "arm64";
const SYS_PREADV2 = IS_ARM64 ? 286 : 327;
const SYS_PWRITEV2 = IS_ARM64 ? 287 : 328;

const RWF_NOWAIT = 0x8;
/** At the position of the descriptor, as read(2) and write(2). */
const NO_OFFSET = -1;

/** The symbols, and a struct iovec that is kept as long as its address. */
function open() {
  const vector = new BigUint64Array(new ArrayBuffer(16));
  return { vector, address: ptr(vector), call: openLibc(SYMBOLS).syscall };
}

let opened: ReturnType<typeof open> | undefined;

function call(number: number, fd: number, buffer: Uint8Array): number {
  opened ??= open();
  const { vector, address } = opened;
  vector[0] = BigInt(ptr(buffer));
  vector[1] = BigInt(buffer.length);
  const one = 1n;
  const count = Number(
    opened.call(number, fd, address as Pointer, one, NO_OFFSET, NO_OFFSET, RWF_NOWAIT),
  );
  return count < 0 ? -lastErrno() : count;
}

/**
 * Reads what is there.
 *
 * @returns the count of bytes, 0 at end of input, or the errno as a negative number: EOPNOTSUPP if the
 * kernel cannot do this on such a descriptor.
 */
export function readNow(fd: number, buffer: Uint8Array): number {
  return call(SYS_PREADV2, fd, buffer);
}

/**
 * Writes what is accepted at once.
 *
 * @returns the number of bytes written, or the errno as a negative number, as {@link readNow}.
 */
export function writeNow(fd: number, buffer: Uint8Array): number {
  return call(SYS_PWRITEV2, fd, buffer);
}
