/** Pseudo-terminals: pty(7), ioctl_tty(2). Linux on x86-64 and arm64 have the same numbers. */
import { constants } from "node:os";
import { systemError } from "./errno.ts";
import { cString, IGNORE_SIGNAL, lastErrno, libc, ptr } from "./libc.ts";
import { closeDescriptor } from "./socket.ts";

const { SIGTTOU } = constants.signals;

const O_RDWR = 0o2;
const O_NOCTTY = 0o400;
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;

const TIOCSCTTY = 0x540e;
const TIOCGPGRP = 0x540f;
const TIOCSPGRP = 0x5410;
const TIOCSWINSZ = 0x5414;
const TIOCSPTLCK = 0x4004_5431;
const TIOCGPTN = 0x8004_5430;

/** Both ends of a pseudo-terminal. */
export interface Pty {
  /** The master; reads fail with EIO once no process has the other end open. */
  master: number;
  /** The command's end, to be closed here once the command has it. */
  slave: number;
  /** The other end's path, as in /dev/pts/3. */
  path: string;
}

/** A terminal's size in characters. */
export interface WindowSize {
  rows: number;
  cols: number;
}

function control(fd: number, request: number, value: Int32Array | Uint16Array, name: string): void {
  if (libc().ioctl(fd, request, ptr(value)) < 0) {
    throw systemError(lastErrno(), { operation: "set up terminal", address: name, code: "CONFIG" });
  }
}

function openTerminal(path: string): number {
  const fd = libc().open(ptr(cString(path)), O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
  if (fd >= 0) return fd;
  throw systemError(lastErrno(), {
    operation: "open terminal",
    address: path,
    code: "CONFIG",
    hint: "mount devpts: mkdir -p /dev/pts && mount -t devpts devpts /dev/pts",
  });
}

/**
 * Opens a new pseudo-terminal of the given size.
 *
 * @throws {VsockboxError} CONFIG, with a hint if devpts is not mounted.
 */
export function openPty(size: WindowSize): Pty {
  const master = openTerminal("/dev/ptmx");
  try {
    control(master, TIOCSPTLCK, new Int32Array([0]), "TIOCSPTLCK");
    const number = new Int32Array(1);
    control(master, TIOCGPTN, number, "TIOCGPTN");
    setWindowSize(master, size);
    const path = `/dev/pts/${number[0]}`;
    return { master, slave: openTerminal(path), path };
  } catch (thrown) {
    closeDescriptor(master);
    throw thrown;
  }
}

/** Sets the size; the foreground process group gets SIGWINCH if it changes. */
export function setWindowSize(fd: number, { rows, cols }: WindowSize): void {
  control(fd, TIOCSWINSZ, new Uint16Array([rows, cols, 0, 0]), "TIOCSWINSZ");
}

/** The terminal's foreground process group; undefined if it has none. */
export function foregroundGroup(master: number): number | undefined {
  const group = new Int32Array(1);
  const failed = libc().ioctl(master, TIOCGPGRP, ptr(group)) < 0;
  return failed || group[0] === undefined || group[0] <= 0 ? undefined : group[0];
}

/** Makes the terminal that is `fd` the controlling one; this process must lead its session. */
export function makeControllingTerminal(fd: number): void {
  control(fd, TIOCSCTTY, new Int32Array([0]), "TIOCSCTTY");
}

/**
 * Puts this process into a group of its own, in the foreground of its controlling terminal `fd`.
 * SIGTTOU stays ignored afterwards.
 */
export function takeForeground(fd: number): void {
  libc().setpgid(0, 0);
  // Sent to a background process that changes the foreground process group.
  libc().signal(SIGTTOU, IGNORE_SIGNAL);
  control(fd, TIOCSPGRP, new Int32Array([process.pid]), "TIOCSPGRP");
}

const TCFLSH = 0x540b;
const FIONREAD = 0x541b;

/** Calls `use` with the command's end of a terminal; undefined if it cannot be opened any more. */
function withSlave<T>(path: string, use: (fd: number) => T): T | undefined {
  const fd = libc().open(ptr(cString(path)), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0) return undefined;
  try {
    return use(fd);
  } finally {
    closeDescriptor(fd);
  }
}

/**
 * Whether the line discipline holds input that no program has read.
 *
 * @param path of the command's end, as in /dev/pts/3.
 */
export function hasUnreadInput(path: string): boolean {
  const unread = withSlave(path, (fd) => {
    const count = new Int32Array(1);
    return libc().ioctl(fd, FIONREAD, ptr(count)) < 0 ? 0 : (count[0] ?? 0);
  });
  return unread !== undefined && unread > 0;
}

/** Discards the input that the line discipline holds: TCIFLUSH of tcflush(3). */
export function discardInput(path: string): void {
  const tciflush = null;
  withSlave(path, (fd) => libc().ioctl(fd, TCFLSH, tciflush));
}
