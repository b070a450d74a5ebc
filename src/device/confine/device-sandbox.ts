/**
 * The sandbox of vhost-user devices: an unprivileged user, no capabilities, few files (Landlock), few
 * system calls (seccomp).
 *
 * There are two steps, since credentials and Landlock apply to the calling thread only, and the runtime
 * has others: {@link confineSelf}, then execve(2), which ends all other threads, then
 * {@link filterCalls}, which filters all threads.
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { VsockboxError } from "../../errors.ts";
import { dropCapabilities, filterAllThreads } from "../../ffi/sandbox.ts";
import { FileRight, type FileRule, landlockVersion, restrictFiles } from "../../ffi/landlock.ts";
import { AF_UNIX, AF_VSOCK } from "../../ffi/sockaddr.ts";
import { deviceProgram } from "./device-seccomp.ts";
import { becomeRestricted, seccompArchitecture } from "../../process/sandbox/sandbox.ts";
import { encodeProgram } from "../../process/sandbox/seccomp-program.ts";
import { resolveOwner, resolveUser, systemUsers, type UserDatabase } from "../../process/users.ts";

/** linux/capability.h: needed to drop the bounding set and to lock the securebits. */
const CAP_SETPCAP = 8n;

/** Credentials of the device. */
export interface DeviceUser {
  uid: number;
  gid: number;
  groups: readonly number[];
}

/**
 * Reads `USER` or `USER:GROUP`, names or numbers. A user alone keeps all its groups; with a group it
 * has only that one.
 *
 * @throws {VsockboxError} CONFIG for an unknown name; REFUSED without permission to change the user.
 */
export function deviceUser(spec: string, database: UserDatabase = systemUsers()): DeviceUser {
  const user = spec.includes(":") ? userAndGroup(spec, database) : resolveUser(spec, database);
  const isSame = user.uid === process.getuid?.() && user.gid === process.getgid?.();
  if (process.geteuid?.() === 0 || isSame) return user;
  throw new VsockboxError({
    code: "REFUSED",
    operation: "become user",
    address: JSON.stringify(spec),
    message: "only root can become another user",
    hint: "start the command as that user, or as root",
  });
}

function userAndGroup(spec: string, database: UserDatabase): DeviceUser {
  const { uid, gid } = resolveOwner(spec, database);
  if (uid !== undefined && gid !== undefined) return { uid, gid, groups: [] };
  throw new VsockboxError({
    code: "CONFIG",
    operation: "become user",
    address: JSON.stringify(spec),
    message: "expected USER or USER:GROUP",
  });
}

/** Files of a device. */
export interface DeviceFiles {
  /** Paths of sockets that are created and removed. */
  sockets: readonly string[];
  /** Paths of files that are created and written. */
  written: readonly string[];
}

/**
 * Drops the privileges of this thread for good: another user, no capabilities, and by Landlock no files
 * but those of this program and of the device.
 *
 * @returns the version of Landlock; 0 if the kernel has none: then access to files does not change.
 * @throws {VsockboxError} REFUSED.
 */
export function confineSelf(user: DeviceUser | undefined, files: DeviceFiles): number {
  // Read before privileges are dropped.
  const version = landlockVersion();
  const rules = [...programRules(), ...ownRules(files)];
  // Without CAP_SETPCAP the securebits stay unlocked; no-new-privs alone keeps execve(2) from adding any.
  const canLock = holdsCapability(CAP_SETPCAP);
  const same = user !== undefined && process.geteuid?.() !== 0;
  becomeRestricted(same ? null : (user ?? null), [
    "no-new-privs",
    ...(canLock ? (["drop-caps"] as const) : []),
  ]);
  if (!canLock) dropCapabilities();
  if (version > 0) restrictFiles(version, rules);
  return version;
}

function holdsCapability(capability: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return ((BigInt(`0x${effective?.[1] ?? "0"}`) >> capability) & 1n) === 1n;
}

/** Returns rules for the files that this program reads after execve(2) and later. */
function programRules(): FileRule[] {
  // The executable, the loader and the libraries: all files that are mapped as executable.
  const mapped = readFileSync("/proc/self/maps", "utf8").matchAll(/ r.x. .*?(\/.*)$/gm);
  const files = new Set(Array.from(mapped, ([, path = ""]) => path));
  const { Execute, ReadFile, ReadDirectory } = FileRight;
  return [
    ...Array.from(files, (path) => ({ path, rights: Execute | ReadFile })),
    { path: process.execPath, rights: Execute | ReadFile },
    { path: "/etc/ld.so.cache", rights: ReadFile },
    // Its own memory, processors and limits.
    { path: "/proc", rights: ReadFile | ReadDirectory },
    { path: "/sys/devices/system/cpu", rights: ReadFile },
    { path: "/sys/kernel/mm/transparent_hugepage", rights: ReadFile },
    { path: "/sys/fs/cgroup", rights: ReadFile },
  ];
}

/** Returns rules for directories, since a file that does not exist yet cannot have one. */
function ownRules({ sockets, written }: DeviceFiles): FileRule[] {
  const { MakeRegular, MakeSocket, RemoveFile, Truncate, WriteFile } = FileRight;
  const directories = (paths: readonly string[], rights: number) =>
    Array.from(new Set(paths.map((path) => dirname(path))), (path) => ({ path, rights }));
  return [
    ...directories(sockets, MakeSocket | RemoveFile),
    ...directories(written, MakeRegular | WriteFile | Truncate),
  ];
}

/**
 * Limits all threads to the system calls of a device for good.
 *
 * @param opensVsock whether the device connects over AF_VSOCK.
 * @throws {VsockboxError} REFUSED, UNAVAILABLE.
 */
export function filterCalls(opensVsock: boolean): void {
  const families = opensVsock ? [AF_UNIX, AF_VSOCK] : [AF_UNIX];
  const program = deviceProgram(seccompArchitecture(), { families, pid: process.pid });
  filterAllThreads(encodeProgram(program));
}
