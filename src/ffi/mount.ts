/** File systems and device nodes: mount(2), statfs(2), mknod(2). */
import { ERRNO } from "./errno.ts";
import { cString, lastErrno, libc, ptr } from "./libc.ts";

/** Flags of mount(2). */
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
const MS_REMOUNT = 32;
const MS_BIND = 0x1000;

/** f_type of statfs(2), linux/magic.h. */
export const PROC_SUPER_MAGIC = 0x9fa0;
export const SYSFS_MAGIC = 0x6265_6572;
export const DEVPTS_SUPER_MAGIC = 0x1cd1;

/** sizeof(struct statfs) on 64-bit architectures is 120. */
const STATFS_BYTES = 256;

const AT_FDCWD = -100;
const SYS_MKNODAT = process.arch === "arm64" ? 33 : 259;
const S_IFCHR = 0o020000;

/** Arguments of mount(2). */
export interface MountRequest {
  type: string;
  target: string;
  flags: number;
  /** The file system's own options, with commas between. */
  data: string;
}

/**
 * mount(2) of a file system that has no device.
 *
 * @returns 0, or the errno: what to do about it is the caller's business.
 */
export function mountFilesystem({ type, target, flags, data }: MountRequest): number {
  const name = cString(type);
  const result = libc().mount(
    ptr(name),
    ptr(cString(target)),
    ptr(name),
    BigInt(flags),
    ptr(cString(data)),
  );
  return result < 0 ? lastErrno() : 0;
}

/** Makes a mounted file system read-only. Returns 0 or the errno: EBUSY if files are open for writing. */
export function remountReadOnly(target: string): number {
  const none = cString("none");
  const flags = BigInt(MS_REMOUNT | MS_RDONLY);
  const result = libc().mount(ptr(none), ptr(cString(target)), null, flags, null);
  return result < 0 ? lastErrno() : 0;
}

/** Shows the file or tree of `source` at `target` as well. Returns 0 or the errno. */
export function bindMount(source: string, target: string): number {
  const [from, to] = [cString(source), cString(target)];
  const result = libc().mount(ptr(from), ptr(to), null, BigInt(MS_BIND), null);
  return result < 0 ? lastErrno() : 0;
}

/**
 * Makes one mount read-only, not its file system, which others go on writing to. Returns 0 or the errno.
 *
 * @param flags of the mount as it is, MS_NOSUID and others: they are replaced.
 */
export function makeMountReadOnly(target: string, flags: number): number {
  const all = BigInt(MS_REMOUNT | MS_BIND | MS_RDONLY | flags);
  const path = cString(target);
  const result = libc().mount(null, ptr(path), null, all, null);
  return result < 0 ? lastErrno() : 0;
}

/** The f_type of the file system at `path`; undefined if the path does not exist. */
export function filesystemMagic(path: string): number | undefined {
  const buffer = new DataView(new ArrayBuffer(STATFS_BYTES));
  for (;;) {
    if (libc().statfs(ptr(cString(path)), ptr(buffer)) === 0) return buffer.getUint32(0, true);
    if (lastErrno() !== ERRNO.EINTR) return undefined;
  }
}

/** A character device. */
export interface CharacterDevice {
  major: number;
  minor: number;
}

/** mknod(2) of a character device. Returns 0 or the errno. The umask clears its bits of the mode. */
export function makeCharacterDevice(
  path: string,
  mode: number,
  { major, minor }: CharacterDevice,
): number {
  // As new_encode_dev() of the kernel has it.
  const device = (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
  const result = libc().syscall(
    SYS_MKNODAT,
    AT_FDCWD,
    ptr(cString(path)),
    BigInt(S_IFCHR | mode),
    BigInt(device),
  );
  return Number(result) < 0 ? lastErrno() : 0;
}
