/** Mounts of PID 1 before anything else runs, if the kernel or the image has not made them. */
import { chmodSync, lstatSync, mkdirSync, statSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { reasonOf } from "../../errors.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { errnoMessage, errnoName } from "../../system-errors.ts";
import {
  DEVPTS_SUPER_MAGIC,
  filesystemMagic,
  makeCharacterDevice,
  mountFilesystem,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  PROC_SUPER_MAGIC,
  SYSFS_MAGIC,
  type CharacterDevice,
  type MountRequest,
} from "../../ffi/mount.ts";

/**
 * A file to be put into an image whose init we are: with glibc the runtime looks its stack up there
 * before our first line runs, and aborts if it is missing. The mount of /proc hides it.
 */
export const EARLY_MAPS = {
  path: "/proc/self/maps",
  content: "000000010000-ffffffffffff rw-p 00000000 00:00 0 [stack]\n",
} as const;

interface InitMount {
  type: string;
  path: string;
  flags: number;
  data: string;
  /** A unique f_type; without it a change of device number shows that it is mounted. */
  magic?: number;
}

const MOUNTS: readonly InitMount[] = [
  {
    type: "proc",
    path: "/proc",
    flags: MS_NOSUID | MS_NODEV | MS_NOEXEC,
    data: "",
    magic: PROC_SUPER_MAGIC,
  },
  {
    type: "sysfs",
    path: "/sys",
    flags: MS_NOSUID | MS_NODEV | MS_NOEXEC,
    data: "",
    magic: SYSFS_MAGIC,
  },
  { type: "devtmpfs", path: "/dev", flags: MS_NOSUID, data: "mode=0755" },
  {
    type: "devpts",
    path: "/dev/pts",
    flags: MS_NOSUID | MS_NOEXEC,
    data: "gid=5,mode=620,ptmxmode=666",
    magic: DEVPTS_SUPER_MAGIC,
  },
  { type: "tmpfs", path: "/dev/shm", flags: MS_NOSUID | MS_NODEV, data: "mode=1777" },
  { type: "tmpfs", path: "/run", flags: MS_NOSUID | MS_NODEV, data: "mode=0755" },
  { type: "tmpfs", path: "/tmp", flags: MS_NOSUID | MS_NODEV, data: "mode=1777" },
];

const NODES: readonly (CharacterDevice & { name: string; mode: number })[] = [
  { name: "null", mode: 0o666, major: 1, minor: 3 },
  { name: "zero", mode: 0o666, major: 1, minor: 5 },
  { name: "full", mode: 0o666, major: 1, minor: 7 },
  { name: "random", mode: 0o666, major: 1, minor: 8 },
  { name: "urandom", mode: 0o666, major: 1, minor: 9 },
  { name: "tty", mode: 0o666, major: 5, minor: 0 },
  { name: "console", mode: 0o600, major: 5, minor: 1 },
  { name: "ptmx", mode: 0o666, major: 5, minor: 2 },
];

const LINKS: readonly (readonly [name: string, target: string])[] = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
];

/** The system calls that tests stand in for. Both return 0 or an errno. */
export interface MountSystem {
  mount(request: MountRequest): number;
  makeDevice(path: string, mode: number, device: CharacterDevice): number;
}

/** Options of {@link mountInitFilesystems}. */
export interface InitMountOptions {
  /** The directory below which everything is mounted; tests use another one than `/`. */
  root?: string | undefined;
  system?: MountSystem | undefined;
}

/** What {@link mountInitFilesystems} did. */
export interface InitMounts {
  /** Each new mount as `TYPE on PATH`. */
  mounted: string[];
  /** What failed, in words. Nothing of it stops the rest. */
  warnings: string[];
}

const KERNEL: MountSystem = { mount: mountFilesystem, makeDevice: makeCharacterDevice };

/**
 * Mounts the missing ones of /proc, /sys, /dev, /dev/pts, /dev/shm, /run and /tmp, and makes the nodes
 * and links that /dev lacks. Never throws.
 */
export function mountInitFilesystems(options: InitMountOptions = {}): InitMounts {
  const { root = "/", system = KERNEL } = options;
  const mounted: string[] = [];
  const warnings: string[] = [];

  for (const mount of MOUNTS) {
    const target = join(root, mount.path);
    const failed = makeDirectory(target) ?? mountAbsent({ mount, target, system, mounted });
    if (failed !== undefined) warnings.push(`cannot mount ${mount.type} on ${target}: ${failed}`);
    // Everything else in /dev is mounted and linked on top of it.
    if (mount.path === "/dev") warnings.push(...populateDevices(target, system));
  }
  return { mounted, warnings };
}

/** Returns the problems as text. */
function makeDirectory(path: string): string | undefined {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    return undefined;
  } catch (thrown) {
    return `the directory cannot be created: ${reasonOf(thrown).message}`;
  }
}

interface MountStep {
  mount: InitMount;
  target: string;
  system: MountSystem;
  mounted: string[];
}

/** Returns the problems as text. */
function mountAbsent({ mount, target, system, mounted }: MountStep): string | undefined {
  if (isMounted(mount, target)) return undefined;
  let { type, data } = mount;
  let errno = system.mount({ ...mount, target });
  if (errno === ERRNO.ENODEV && type === "devtmpfs") {
    type = "tmpfs";
    data = "mode=0755";
    errno = system.mount({ type, target, flags: mount.flags, data });
  }
  if (errno === 0) mounted.push(`${type} on ${target}`);
  return errno === 0 || errno === ERRNO.EBUSY ? undefined : inWords(errno);
}

function isMounted({ magic }: InitMount, target: string): boolean {
  if (magic !== undefined) return filesystemMagic(target) === magic;
  try {
    // An initramfs may itself be a tmpfs, so its type proves nothing here.
    return statSync(target).dev !== statSync(dirname(target)).dev;
  } catch {
    return false;
  }
}

/** Makes the nodes and links that are missing, and returns what went wrong. */
function populateDevices(directory: string, system: MountSystem): string[] {
  const warnings: string[] = [];
  for (const { name, mode, ...device } of NODES) {
    const path = join(directory, name);
    if (exists(path)) continue;
    const errno = system.makeDevice(path, mode, device);
    if (errno !== 0 && errno !== ERRNO.EEXIST) {
      warnings.push(`cannot create device ${path}: ${inWords(errno)}`);
      continue;
    }
    // The umask has cleared its bits of the mode.
    attempt(warnings, `set the mode of ${path}`, () => chmodSync(path, mode));
  }
  for (const [name, target] of LINKS) {
    const path = join(directory, name);
    if (!exists(path)) attempt(warnings, `link ${path}`, () => symlinkSync(target, path));
  }
  return warnings;
}

function attempt(warnings: string[], what: string, action: () => void): void {
  try {
    action();
  } catch (thrown) {
    warnings.push(`cannot ${what}: ${reasonOf(thrown).message}`);
  }
}

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function inWords(errno: number): string {
  return `${errnoMessage(errno)} (${errnoName(errno)})`;
}
