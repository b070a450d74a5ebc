/**
 * What a vhost-user device does without: all users but one, all capabilities, most files, most system
 * calls. In two steps, since a program that runs has threads, and what is given up is so by one:
 * {@link confineSelf}, execve(2) of this program by the thread that has done it, {@link filterCalls}.
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

/** capability.h: what dropping the bounding set and locking securebits takes. */
const CAP_SETPCAP = 8n;

/** Whom the device becomes. */
export interface DeviceUser {
  uid: number;
  gid: number;
  groups: readonly number[];
}

/**
 * Reads `USER` or `USER:GROUP`, names or numbers. A user alone keeps all its groups; with a group it
 * has that one and no others.
 *
 * @throws {VsockboxError} CONFIG for a name that nobody has; REFUSED without the right to change.
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
    hint: "start it as that user, or as root",
  });
}

function userAndGroup(spec: string, database: UserDatabase): DeviceUser {
  const { uid, gid } = resolveOwner(spec, database);
  if (uid !== undefined && gid !== undefined) return { uid, gid, groups: [] };
  throw new VsockboxError({
    code: "CONFIG",
    operation: "become user",
    address: JSON.stringify(spec),
    message: "it is no USER or USER:GROUP",
  });
}

/** What a device makes of files. */
export interface DeviceFiles {
  /** Paths of sockets that are made and removed. */
  sockets: readonly string[];
  /** Paths of files that are made and written to. */
  written: readonly string[];
}

/**
 * Gives up the rights of this thread: another user, no capabilities and no way back to them, and by
 * Landlock no files but those of this program and what it makes.
 *
 * @returns the version of Landlock; 0 where the kernel has none, and files are as before.
 * @throws {VsockboxError} REFUSED.
 */
export function confineSelf(user: DeviceUser | undefined, files: DeviceFiles): number {
  // Read with the rights of before.
  const version = landlockVersion();
  const rules = [...programRules(), ...ownRules(files)];
  // Without CAP_SETPCAP there is less to lock: no-new-privs alone keeps execve(2) from giving any.
  const locks = holdsCapability(CAP_SETPCAP);
  const same = user !== undefined && process.geteuid?.() !== 0;
  becomeRestricted(same ? null : (user ?? null), [
    "no-new-privs",
    ...(locks ? (["drop-caps"] as const) : []),
  ]);
  if (!locks) dropCapabilities();
  if (version > 0) restrictFiles(version, rules);
  return version;
}

function holdsCapability(capability: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return ((BigInt(`0x${effective?.[1] ?? "0"}`) >> capability) & 1n) === 1n;
}

/** What this program reads when it starts again, and later on. */
function programRules(): FileRule[] {
  // The executable, the loader and the libraries: what is mapped now.
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

/** By folder: a file that is not there yet has no rule of its own. */
function ownRules({ sockets, written }: DeviceFiles): FileRule[] {
  const { MakeRegular, MakeSocket, RemoveFile, Truncate, WriteFile } = FileRight;
  const folders = (paths: readonly string[], rights: number) =>
    Array.from(new Set(paths.map((path) => dirname(path))), (path) => ({ path, rights }));
  return [
    ...folders(sockets, MakeSocket | RemoveFile),
    ...folders(written, MakeRegular | WriteFile | Truncate),
  ];
}

/**
 * Limits all threads to the system calls of a device, for good.
 *
 * @param opensVsock whether it connects over AF_VSOCK.
 * @throws {VsockboxError} REFUSED, UNAVAILABLE.
 */
export function filterCalls(opensVsock: boolean): void {
  const families = opensVsock ? [AF_UNIX, AF_VSOCK] : [AF_UNIX];
  const program = deviceProgram(seccompArchitecture(), { families, pid: process.pid });
  filterAllThreads(encodeProgram(program));
}
