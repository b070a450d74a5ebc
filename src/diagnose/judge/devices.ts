/** Judges device nodes and the local CID. */
import { ANY, CID_HOST, CID_LOCAL } from "../../net/address.ts";
import { type DeviceNode, type DevicePath, MISC_MAJOR } from "../facts/devices.ts";
import type { ModuleStatus } from "../facts/modules.ts";
import type { VsockFacts } from "../facts/system-facts.ts";
import { type Finding, info, ok, warning } from "../finding.ts";
import { asRoot } from "../as-root.ts";

/** What a node is for, and the mode that systemd's rules give it. */
const PURPOSE: Readonly<Record<DevicePath, { use: string; mode: string }>> = {
  "/dev/vsock": { use: "programs ask it for the local CID", mode: "666" },
  "/dev/vhost-vsock": { use: "QEMU opens it for vhost-vsock devices", mode: "660" },
  "/dev/kvm": { use: "VMMs open it", mode: "666" },
  "/dev/fuse": { use: "FUSE file systems open it", mode: "666" },
};

/** Judges the nodes that a system of this kind needs. */
export function judgeDevices(facts: VsockFacts): Finding[] {
  const { nodes, modules } = facts;
  const paths: DevicePath[] = [
    ...(isUsable(modules.vsock) ? ["/dev/vsock" as const] : []),
    ...(isUsable(modules.vhost_vsock) ? ["/dev/vhost-vsock" as const] : []),
  ];
  const others: DevicePath[] = ["/dev/kvm", "/dev/fuse"];
  return [
    ...paths.map((path) => judgeNode(path, nodes[path], facts.uid)),
    ...judgeCid(facts),
    ...others
      .filter((path) => nodes[path].state !== "missing")
      .map((path) => judgeNode(path, nodes[path], facts.uid)),
  ];
}

const isUsable = ({ state }: ModuleStatus) => state === "loaded" || state === "built-in";

function judgeNode(path: DevicePath, node: DeviceNode, uid: number): Finding {
  const { use, mode } = PURPOSE[path];
  const make = (minor: number) => asRoot(`mknod -m ${mode} ${path} c ${MISC_MAJOR} ${minor}`, uid);
  switch (node.state) {
    case "missing":
      return warning("device-node-missing", `${path} does not exist: ${use}`, {
        fix: node.minor === undefined ? undefined : make(node.minor),
      });
    case "wrong": {
      const remove = asRoot(`rm ${path}`, uid);
      return warning("device-node-wrong", `${path} is not the kernel's device: ${use}`, {
        fix: node.minor === undefined ? remove : `${remove} && ${make(node.minor)}`,
      });
    }
    case "present":
      return node.isAccessible
        ? ok("device-node", `${path} may be opened by this user`)
        : warning("device-node-denied", `${path} may not be opened by user ${uid}: ${use}`, {
            fix: asRoot(`chmod ${mode === "660" ? "666" : mode} ${path}`, uid),
            hint: ownerHint(node, uid),
          });
  }
}

/** A group that may open the node is better than a node that is open to all. */
function ownerHint({ mode, gid }: DeviceNode, uid: number): string | undefined {
  const groupMayOpen = (mode & 0o060) === 0o060 && gid !== 0;
  return groupMayOpen
    ? `or add user ${uid} to group ${gid}, which may open it, and log in again`
    : undefined;
}

function judgeCid({ localCid }: VsockFacts): Finding[] {
  if (localCid === undefined || "error" in localCid) return [];
  const { cid } = localCid;
  if (cid === ANY || cid === CID_LOCAL) {
    const message = "this machine has no CID of its own: only CID 1 reaches it";
    return [info("local-cid", message, { hint: "a VMM assigns it to a guest; hosts have CID 2" })];
  }
  return [
    ok("local-cid", `the CID of this machine is ${cid}${cid === CID_HOST ? ", the host" : ""}`),
  ];
}
