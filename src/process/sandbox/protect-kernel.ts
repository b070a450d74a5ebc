/** Mounting over the kernel's files in this process's mount namespace, as kernel-files.ts lists them. */
import { type Operation } from "../../operations.ts";
import {
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { ERRNO, systemError } from "../../ffi/errno.ts";
import { FileRight, type FileRule, landlockVersion, restrictWrites } from "../../ffi/landlock.ts";
import {
  bindMount,
  makeCharacterDevice,
  makeMountReadOnly,
  mountFilesystem,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
} from "../../ffi/mount.ts";
import {
  KEPT_DEVICES,
  MASKED_PROC,
  parseMounts,
  protectionsOf,
  READ_ONLY_PROC,
} from "./kernel-files.ts";

const UNTRUSTED = MS_NOSUID | MS_NODEV | MS_NOEXEC;
const O_PATH = 0o10000000;
const ENOENT = 2;
const ENOTDIR = 20;

/** A device that a terminal is opened by, `c 5 2`. */
const PTMX = { major: 5, minor: 2 };

/** Links of /dev that programs expect. */
const DEVICE_LINKS: Readonly<Record<string, string>> = {
  fd: "/proc/self/fd",
  stdin: "/proc/self/fd/0",
  stdout: "/proc/self/fd/1",
  stderr: "/proc/self/fd/2",
};

/**
 * Makes /sys and control groups read-only, masks what else shows the kernel, and puts a /dev of a few
 * devices in the place of the other one. The mounts must be private.
 *
 * @throws {VsockboxError} REFUSED without CAP_SYS_ADMIN.
 */
export function protectSystem(): void {
  const mounts = parseMounts(readFileSync("/proc/thread-self/mountinfo", "utf8"));
  for (const { path, how, flags } of protectionsOf(mounts)) {
    if (how === "masked") mask(path);
    else check(makeMountReadOnly(path, flags), "make a read-only mount of", path);
  }
  if (exists("/dev")) replaceDevices();
}

/**
 * Protects files below /proc, in this mount namespace alone.
 *
 * @throws {VsockboxError} as {@link protectSystem}.
 */
export function protectProc(): void {
  for (const name of READ_ONLY_PROC) makeReadOnly(`/proc/${name}`);
  for (const name of MASKED_PROC) mask(`/proc/${name}`);
}

function makeReadOnly(path: string): void {
  if (!exists(path)) return;
  check(bindMount(path, path), "mount", path);
  check(makeMountReadOnly(path, UNTRUSTED), "make a read-only mount of", path);
}

/** Puts something empty over it: a directory, or /dev/null. */
function mask(path: string): void {
  if (!exists(path)) return;
  if (!statSync(path).isDirectory()) {
    if (!exists("/dev/null")) throw withoutNull(path);
    check(bindMount("/dev/null", path), "mask", path);
    return;
  }
  const flags = UNTRUSTED | MS_RDONLY;
  const empty = { type: "tmpfs", target: path, flags, data: "size=4k,mode=0555" };
  check(mountFilesystem(empty), "mask", path);
}

function withoutNull(path: string): VsockboxError {
  return new VsockboxError({
    code: "UNAVAILABLE",
    operation: "mask",
    address: path,
    message: "/dev/null does not exist",
    hint: "the guest needs /dev: mount -t devtmpfs dev /dev",
  });
}

/** An entry of /dev that stays: a link, or what a descriptor leads to when /dev is covered. */
type KeptEntry = { path: string } & (
  { link: string } | { link?: never; fd: number; isDirectory: boolean }
);

function replaceDevices(): void {
  const kept = [...KEPT_DEVICES, "pts", "log"].flatMap((name): KeptEntry[] => {
    const path = `/dev/${name}`;
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status === undefined) return [];
    if (status.isSymbolicLink()) return [{ path, link: readlinkSync(path) }];
    return [{ path, isDirectory: status.isDirectory(), fd: openSync(path, O_PATH) }];
  });
  const hasMemory = exists("/dev/shm");
  const devices = { type: "tmpfs", target: "/dev", flags: MS_NOSUID | MS_NOEXEC };
  check(mountFilesystem({ ...devices, data: "size=64k,mode=0755" }), "mount", "/dev");
  for (const entry of kept) {
    const { path } = entry;
    if (entry.link !== undefined) {
      symlinkSync(entry.link, path);
      continue;
    }
    if (entry.isDirectory) mkdirSync(path);
    else writeFileSync(path, "");
    check(bindMount(`/proc/self/fd/${entry.fd}`, path), "mount", path);
    closeSync(entry.fd);
  }
  for (const [name, target] of Object.entries(DEVICE_LINKS)) symlinkSync(target, `/dev/${name}`);
  makePtmx();
  if (hasMemory) {
    mkdirSync("/dev/shm");
    const memory = { type: "tmpfs", target: "/dev/shm", flags: UNTRUSTED, data: "mode=1777" };
    check(mountFilesystem(memory), "mount", "/dev/shm");
  }
  check(makeMountReadOnly("/dev", MS_NOSUID | MS_NOEXEC), "make a read-only mount of", "/dev");
}

/** Beside /dev/pts, as the kernel expects it; a link if no device may be made. */
function makePtmx(): void {
  if (!exists("/dev/pts/ptmx")) return;
  const umask = process.umask(0);
  const errno = makeCharacterDevice("/dev/ptmx", 0o666, PTMX);
  process.umask(umask);
  if (errno !== 0) symlinkSync("pts/ptmx", "/dev/ptmx");
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** @throws {VsockboxError} for an errno but those of a path that another mount has covered. */
function check(errno: number, operation: Operation, address: string): void {
  if (errno === 0 || errno === ENOENT || errno === ENOTDIR) return;
  const needs = "it needs CAP_SYS_ADMIN: start the agent as root with all capabilities";
  const hint = errno === ERRNO.EPERM ? needs : undefined;
  throw systemError(errno, { operation, address, hint });
}

/** Lowest version of Landlock that lets a file be moved to another directory. */
const MIN_LANDLOCK_VERSION = 2;

/** Directories of / in which nothing is written. */
const NOT_WRITTEN: ReadonlySet<string> = new Set(["proc", "sys"]);

/** The standard streams. */
const STREAMS = [0, 1, 2];

/**
 * Returns the rules for standard streams that are terminals or other devices. They were opened below the
 * agent's own /dev, which is not the one of this mount namespace: without a rule the command could use
 * them, but could not open /dev/stdout again.
 */
function rulesOfStreams(): FileRule[] {
  return STREAMS.filter(isDevice).map((fd) => ({
    path: `/proc/self/fd/${fd}`,
    rights: FileRight.File,
  }));
}

function isDevice(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    // It is closed.
    return false;
  }
}

/**
 * A second barrier, if the kernel has Landlock: no writes to files but those below the other entries
 * of / and the standard streams, no new devices, no mounts. From version 6 on also no signals and no abstract Unix sockets to
 * processes outside.
 *
 * @throws {VsockboxError} REFUSED without CAP_SYS_ADMIN and without no-new-privs.
 */
export function restrictKernelWrites(): void {
  const version = landlockVersion();
  if (version < MIN_LANDLOCK_VERSION) return;
  const { Directory, File } = FileRight;
  const rules = readdirSync("/").flatMap((name): FileRule[] => {
    if (NOT_WRITTEN.has(name)) return [];
    const path = `/${name}`;
    try {
      return [{ path, rights: statSync(path).isDirectory() ? Directory : File }];
    } catch (thrown) {
      // A link to nothing.
      if (reasonOf(thrown).errno === "ENOENT") return [];
      throw thrown;
    }
  });
  restrictWrites(version, [...rules, ...rulesOfStreams()]);
}
