/**
 * The kernel's files that a sandboxed command cannot change or see: the action for each
 * path, by the list of mounts. Pure.
 *
 * proc(5) and sysfs(5) show the kernel as files that root owns, so a root without capabilities may
 * write most of them: /proc/sys/kernel/core_pattern names a program that the kernel runs as root of
 * the machine. Container engines mount over the same paths.
 */
import { MS_NODEV, MS_NOEXEC, MS_NOSUID } from "../../ffi/mount.ts";
import { parseMountInfo } from "../../protocols/procfs/mount-info.ts";

/** Below /proc: read-only. */
export const READ_ONLY_PROC = ["sys", "sysrq-trigger", "irq", "bus", "fs"] as const;

/** Below /proc: empty. */
export const MASKED_PROC = [
  ...["acpi", "asound", "interrupts", "kcore", "keys", "kmsg", "latency_stats"],
  ...["sched_debug", "scsi", "timer_list", "timer_stats"],
] as const;

/** Below /sys: empty. All of /sys is read-only. */
export const MASKED_SYS = [
  "firmware",
  "devices/virtual/powercap",
  "kernel/debug",
  "kernel/tracing",
];

/** Devices that a command keeps; all others of /dev are not there. */
export const KEPT_DEVICES = ["null", "zero", "full", "random", "urandom", "tty"] as const;

/** File systems that show the kernel, wherever they are mounted; outside of /proc and /sys, too. */
const KERNEL_FILE_SYSTEMS: ReadonlySet<string> = new Set([
  ...["binfmt_misc", "bpf", "configfs", "debugfs", "devtmpfs", "efivarfs", "fusectl", "proc"],
  ...["pstore", "resctrl", "securityfs", "sysfs", "tracefs"],
]);
const CGROUP_FILE_SYSTEMS: ReadonlySet<string> = new Set(["cgroup", "cgroup2"]);

/** A mount of this mount namespace. */
export interface Mount {
  path: string;
  /** Of the file system, such as `proc`. */
  type: string;
  /** MS_NOSUID, MS_NODEV and MS_NOEXEC, if it has them. */
  flags: number;
}

const FLAGS: Readonly<Record<string, number>> = {
  nosuid: MS_NOSUID,
  nodev: MS_NODEV,
  noexec: MS_NOEXEC,
};

/** Reads /proc/PID/mountinfo. A line that does not have its form is ignored. */
export function parseMounts(text: string): Mount[] {
  return parseMountInfo(text).map(({ path, type, options }) => ({
    path,
    type,
    flags: options.reduce((sum, name) => sum | (FLAGS[name] ?? 0), 0),
  }));
}

/** The action for a path. */
export interface Protection {
  path: string;
  /** Read-only, or empty and read-only. */
  how: "read-only" | "masked";
  /** Of a mount that becomes read-only: its flags. */
  flags: number;
}

const isBelow = (path: string, directory: string) =>
  path === directory || path.startsWith(`${directory}/`);

/**
 * Returns the actions for the mounts, in this order, but for those at and below /proc and for /dev, which
 * get others in their place.
 */
export function protectionsOf(mounts: readonly Mount[]): Protection[] {
  const protections = mounts.flatMap(({ path, type, flags }): Protection[] => {
    if (isBelow(path, "/proc") || path === "/dev") return [];
    if (path !== "/sys" && KERNEL_FILE_SYSTEMS.has(type)) return [{ path, how: "masked", flags }];
    const isReadOnly = isBelow(path, "/sys") || CGROUP_FILE_SYSTEMS.has(type);
    return isReadOnly ? [{ path, how: "read-only", flags }] : [];
  });
  const masked = MASKED_SYS.map((name) => `/sys/${name}`);
  return [...protections, ...masked.map((path): Protection => ({ path, how: "masked", flags: 0 }))];
}
