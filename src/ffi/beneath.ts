/**
 * Opening below a directory, wherever links and renames lead meanwhile: openat2(2) with RESOLVE_BENEATH or
 * RESOLVE_IN_ROOT. On kernels before 5.6, component by component without links.
 *
 * Failures are returned as negative errnos: most of them are answers of an export to its guest.
 */
import { FFIType } from "bun:ffi";
import { constants } from "node:fs";
import { PATH_BYTES, PathBuffer } from "./c-path.ts";
import { ERRNO } from "./errno.ts";
import { lastErrno, libc, openLibc, ptr } from "./libc.ts";

const { i32, u32, i64_fast, pointer } = FFIType;

const SYMBOLS = {
  openat: { args: [i32, pointer, i32, u32], returns: i32 },
  syscall: { args: [i64_fast, i64_fast, pointer, pointer, i64_fast], returns: i64_fast },
} as const;

/** The same number on each architecture, asm-generic/unistd.h. */
const SYS_OPENAT2 = 437;

const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW } = constants;

/** struct open_how, linux/openat2.h: flags, mode, resolve. */
const OPEN_HOW_BYTES = 24;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const RESOLVE_IN_ROOT = 0x10;

/** What becomes of symbolic links in a path. */
export type LinkResolution =
  /** A link within the path fails with ELOOP. */
  | "none"
  /** Links are followed as if the directory was the root of the file system. */
  | "inside";

const RESOLVE: Readonly<Record<LinkResolution, number>> = {
  none: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  inside: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
};

/** How often a lookup is repeated that a rename of another process has disturbed. */
const MAX_ATTEMPTS = 32;

let opened: ReturnType<typeof openLibc<typeof SYMBOLS>> | undefined;
let hasOpenat2 = true;

function calls() {
  opened ??= openLibc(SYMBOLS);
  return opened;
}

const how = new Uint32Array(new ArrayBuffer(OPEN_HOW_BYTES));
const path = new PathBuffer();
const SELF = Uint8Array.of(0x2e);
const SLASH = 0x2f;

/** How a path is opened. */
interface OpenHow {
  flags: number;
  mode?: number;
  links: LinkResolution;
}

/**
 * Opens a path below a directory, one longer than PATH_MAX in parts; an empty path is the directory. O_NOFOLLOW and O_PATH together open a
 * link itself at the end of the path.
 *
 * @param directory descriptor, which may be an O_PATH one.
 * @param relative names with slashes between, without `..`.
 * @returns a descriptor that the caller closes, or the errno as a negative number.
 */
export function openBeneath(directory: number, relative: Uint8Array, options: OpenHow): number {
  let at = directory;
  let rest = relative;
  while (rest.length >= PATH_BYTES) {
    // The part's directory would become the root of links.
    const slash = options.links === "inside" ? -1 : rest.lastIndexOf(SLASH, PATH_BYTES - 1);
    const part = { flags: O_PATH | O_DIRECTORY, links: options.links };
    const fd = slash > 0 ? openPart(at, rest.subarray(0, slash), part) : -ERRNO.ENAMETOOLONG;
    if (at !== directory) libc().close(at);
    if (fd < 0) return fd;
    at = fd;
    rest = rest.subarray(slash + 1);
  }
  const fd = openPart(at, rest, options);
  if (at !== directory) libc().close(at);
  return fd;
}

function openPart(
  directory: number,
  relative: Uint8Array,
  { flags, mode = 0, links }: OpenHow,
): number {
  const from = relative.length === 0 ? SELF : relative;
  if (!hasOpenat2) return openByComponents(directory, from, flags, mode);
  const address = path.set(from);
  if (address === undefined) return -ERRNO.EINVAL;
  how[0] = flags | O_CLOEXEC;
  how[2] = mode;
  how[4] = RESOLVE[links];
  for (let attempt = 0; ; attempt++) {
    const fd = calls().syscall(SYS_OPENAT2, directory, address, ptr(how), OPEN_HOW_BYTES);
    if (fd >= 0) return Number(fd);
    const errno = lastErrno();
    const isDisturbed = errno === ERRNO.EAGAIN || errno === ERRNO.EINTR;
    if (isDisturbed && attempt < MAX_ATTEMPTS) continue;
    if (errno !== ERRNO.ENOSYS) return -errno;
    hasOpenat2 = false;
    return openByComponents(directory, from, flags, mode);
  }
}

/** Without openat2(2): no link is followed. Exported for its test. */
export function openByComponents(
  directory: number,
  relative: Uint8Array,
  flags: number,
  mode: number,
): number {
  let at = directory;
  for (let begin = 0; ;) {
    const slash = relative.indexOf(SLASH, begin);
    const isLast = slash === -1;
    const address = path.set(relative.subarray(begin, isLast ? relative.length : slash));
    if (address === undefined) return -ERRNO.EINVAL;
    const own = isLast ? flags : O_PATH | O_DIRECTORY;
    const fd = calls().openat(at, address, own | O_NOFOLLOW | O_CLOEXEC, mode);
    const errno = fd < 0 ? lastErrno() : 0;
    if (at !== directory) libc().close(at);
    if (fd < 0) return -errno;
    if (isLast) return fd;
    at = fd;
    begin = slash + 1;
  }
}
