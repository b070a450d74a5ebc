/** All facts of the system on which `doctor` runs. */
import { lstatSync } from "node:fs";
import { encodeSockaddrUn } from "../../ffi/sockaddr.ts";
import { isRefusedBy } from "../../net/listen.ts";
import { findVsockSockets } from "../../config/discover.ts";
import {
  type DeviceNode,
  type DevicePath,
  readDeviceNodes,
  readVirtioVsock,
  type VirtioVsock,
} from "./devices.ts";
import { type KernelFacts, readKernel } from "./kernel.ts";
import { type LocalCid, readLocalCid } from "./local-cid.ts";
import { type AllModules, readModules } from "./modules.ts";
import { type NamespaceFacts, readNamespace } from "./namespace.ts";
import { type ListenerProcesses, readListeners } from "./processes.ts";
import { type ProfileFacts, readProfiles } from "./profiles.ts";
import type { SystemFiles } from "./system-files.ts";

/** What is known of AF_VSOCK on this system. */
export interface VsockFacts {
  /** Effective user of this process. */
  uid: number;
  /** VSOCKBOX_NO_VSOCK, if it switches AF_VSOCK off. */
  switchedOff: string | undefined;
  kernel: KernelFacts;
  modules: AllModules;
  nodes: Readonly<Record<DevicePath, DeviceNode>>;
  virtio: VirtioVsock;
  namespace: NamespaceFacts;
  /** Undefined if it was not asked for. */
  localCid: LocalCid | undefined;
}

/** What is known of sockets of VMMs and of profiles. */
export interface NeighbourFacts {
  /** Paths that are named like hybrid-vsock sockets. */
  sockets: readonly string[];
  listeners: ListenerProcesses;
  /** Those of them that belong to this user and have no listener at all. */
  refusing: ReadonlySet<string>;
  profiles: ProfileFacts;
}

/** What {@link readVsockFacts} reads of this process; tests pass other values. */
export interface ProcessContext {
  uid?: number;
  /** The value of VSOCKBOX_NO_VSOCK. */
  noVsock?: string | undefined;
}

/** Reads the facts of AF_VSOCK. Opens /dev/vsock on the running system only, unless that is switched off. */
export function readVsockFacts(
  files: SystemFiles,
  {
    uid = effectiveUid(),
    noVsock: variable = process.env["VSOCKBOX_NO_VSOCK"] ?? "",
  }: ProcessContext = {},
): VsockFacts {
  const kernel = readKernel(files);
  const switchedOff = variable === "" || variable === "0" ? undefined : variable;
  return {
    uid,
    switchedOff,
    kernel,
    modules: readModules(files, kernel),
    nodes: readDeviceNodes(files),
    virtio: readVirtioVsock(files),
    namespace: readNamespace(files),
    localCid: files.isRunning && switchedOff === undefined ? readLocalCid() : undefined,
  };
}

/**
 * Reads sockets and profiles. Connects to sockets of this user for which /proc/net/unix has no listener:
 * a VMM in a chroot, in another network namespace or with a relative path is not found there.
 */
export function readNeighbours(
  files: SystemFiles,
  { uid = effectiveUid(), directories }: { uid?: number; directories?: readonly string[] } = {},
): NeighbourFacts {
  const sockets = findVsockSockets(directories);
  const listeners = readListeners(files);
  const refusing = sockets.filter((path) => !listeners.has(path) && isRefusedByOwn(path, uid));
  return {
    sockets,
    listeners,
    refusing: new Set(refusing),
    profiles: readProfiles(files, uid),
  };
}

function isRefusedByOwn(path: string, uid: number): boolean {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status?.isSocket() !== true || status.uid !== uid) return false;
  try {
    return isRefusedBy(path, encodeSockaddrUn(path));
  } catch {
    return false;
  }
}

/** Effective user of this process. */
function effectiveUid(): number {
  return process.geteuid?.() ?? 0;
}
