/**
 * Descriptors that wake a poller: eventfd(2), or a pipe or socket in its place. The kicks and calls of
 * vhost-user.
 */
import { readlinkSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import { ERRNO, systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";
import { setNonBlocking } from "./socket.ts";

/** sys/eventfd.h. */
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

/** sizeof(uint64_t): the size of a read and a write, in bytes. */
const COUNTER_BYTES = 8;

/** A pipe or socket may have many of them. */
const READ_BYTES = 512;

/**
 * Buffers of the counter. The arrays are kept beside their addresses: a variable of a module that no
 * function mentions is collected once the module has run, and the kernel would write into other memory.
 * They have an ArrayBuffer of their own, since a small typed array may store its bytes in the object.
 */
const counters = (() => {
  const one = new BigUint64Array(new ArrayBuffer(COUNTER_BYTES));
  one[0] = 1n;
  const count = new Uint8Array(new ArrayBuffer(READ_BYTES));
  return { one, count, oneAddress: ptr(one), countAddress: ptr(count) };
})();

/** eventfd(2), non-blocking and close-on-exec, at zero. */
export function openEvent(): number {
  const fd = libc().eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw systemError(lastErrno(), { operation: "open eventfd" });
  return fd;
}

/** Links in /proc/PID/fd of usable descriptors; proc(5). QEMU sends eventfds, Linux as a VMM sockets. */
const EVENT_LINK = "anon_inode:[eventfd]";
const OTHER_LINK = /^(pipe|socket):\[\d+\]$/;

/**
 * Checks a VMM's descriptor for kicks or calls and makes it non-blocking. A regular file would always be
 * ready. The VMM shares the flag and can clear it: one that does so and fills the counter stops the
 * thread that signals it. So a thread serves one VMM only, or VMMs that trust each other.
 *
 * @returns whether it is an eventfd.
 * @throws {VsockboxError} BAD_DATA if it is neither that nor a pipe or socket.
 */
export function adoptEvent(fd: number): boolean {
  let link: string;
  try {
    link = readlinkSync(`/proc/self/fd/${fd}`);
  } catch (thrown) {
    throw notAnEvent(fd, reasonOf(thrown).message);
  }
  if (link !== EVENT_LINK && !OTHER_LINK.test(link)) throw notAnEvent(fd, `it is ${link}`);
  setNonBlocking(fd);
  return link === EVENT_LINK;
}

function notAnEvent(fd: number, message: string): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: "use",
    address: `descriptor ${fd} as eventfd`,
    message,
  });
}

/**
 * Adds one to it, which wakes its poller.
 *
 * @returns 0, or the errno: EAGAIN is as good as done, since the counter is full.
 */
export function signalEvent(fd: number): number {
  return Number(libc().write(fd, counters.oneAddress, COUNTER_BYTES)) < 0 ? lastErrno() : 0;
}

/**
 * Reads the counter, so that the next write wakes the poller again.
 *
 * @returns false if the other side has closed it, so that no write follows.
 */
export function clearEvent(fd: number): boolean {
  const count = Number(libc().read(fd, counters.countAddress, READ_BYTES));
  if (count >= 0) return count > 0;
  const errno = lastErrno();
  return errno === ERRNO.EAGAIN || errno === ERRNO.EINTR;
}
