/** Counters that wake a poller: eventfd(2). How vhost-user's two sides kick and call each other. */
import { readlinkSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";
import { setNonBlocking } from "./socket.ts";

/** sys/eventfd.h. */
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

/** sizeof(uint64_t): what a read gives and a write takes, in bytes. */
const COUNTER_BYTES = 8;

/**
 * Room for what goes in and out. The arrays are kept beside their addresses: a variable of a module
 * that no function mentions is collected once the module has run, and the kernel would write into
 * what comes after it. Not a typed array's own room: that of a small one may be inside of the object.
 */
const counters = (() => {
  const one = new BigUint64Array(new ArrayBuffer(COUNTER_BYTES));
  one[0] = 1n;
  const count = new BigUint64Array(new ArrayBuffer(COUNTER_BYTES));
  return { one, count, oneAddress: ptr(one), countAddress: ptr(count) };
})();

/** eventfd(2), non-blocking and close-on-exec, at zero. */
export function openEvent(): number {
  const fd = libc().eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw systemError(lastErrno(), { operation: "open eventfd" });
  return fd;
}

/** What /proc shows for an eventfd; proc(5). */
const EVENT_LINK = "anon_inode:[eventfd]";

/**
 * Takes over a descriptor that a VMM calls an eventfd: a pipe or a socket in its place could make
 * {@link signalEvent} wait for ever. It is made non-blocking, which the VMM sees as well and can take
 * back: one that does so, and fills its counter to the brim, stops the thread that signals it. So a
 * thread serves one VMM only, or VMMs that trust each other.
 *
 * @throws {VsockboxError} BAD_DATA where it is none.
 */
export function adoptEvent(fd: number): void {
  let link: string;
  try {
    link = readlinkSync(`/proc/self/fd/${fd}`);
  } catch (thrown) {
    throw notAnEvent(fd, reasonOf(thrown).message);
  }
  if (link !== EVENT_LINK) throw notAnEvent(fd, `it is ${link}`);
  setNonBlocking(fd);
}

function notAnEvent(fd: number, message: string): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: "use as eventfd",
    address: `descriptor ${fd}`,
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
 * Sets it back to zero, so that it can wake again.
 *
 * @returns 0, or the errno: EAGAIN where it was at zero.
 */
export function clearEvent(fd: number): number {
  return Number(libc().read(fd, counters.countAddress, COUNTER_BYTES)) < 0 ? lastErrno() : 0;
}
