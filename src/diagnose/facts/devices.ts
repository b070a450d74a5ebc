/** Device nodes and virtio devices. Nothing is opened: opening /dev/vsock is the local CID's business. */
import type { SystemFiles } from "./system-files.ts";

const DEVICE_NODES = ["/dev/vsock", "/dev/vhost-vsock", "/dev/kvm", "/dev/fuse"] as const;

/** A device node that is examined. */
export type DevicePath = (typeof DEVICE_NODES)[number];

/** A device node. */
export interface DeviceNode {
  /** `wrong`: a file of another kind, or a device of another number. */
  state: "present" | "missing" | "wrong";
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Whether this process may open it as its users do. */
  isAccessible: boolean;
  /** The minor number that the kernel has for it; undefined without its driver. */
  minor: number | undefined;
}

/** Major number of the miscellaneous devices, linux/major.h. */
export const MISC_MAJOR = 10;

/** Minor numbers that are fixed, linux/miscdevice.h: opening such a node loads its module. */
const FIXED_MINORS: Partial<Record<DevicePath, number>> = {
  "/dev/vhost-vsock": 241,
  "/dev/kvm": 232,
  "/dev/fuse": 229,
};

/** Reads the nodes of {@link DEVICE_NODES}. */
export function readDeviceNodes(files: SystemFiles): Record<DevicePath, DeviceNode> {
  const misc = parseMisc(files.text("/proc/misc") ?? "");
  const nodes = DEVICE_NODES.map((path): [DevicePath, DeviceNode] => {
    const name = path.slice("/dev/".length);
    return [path, readNode(files, path, misc.get(name) ?? FIXED_MINORS[path])];
  });
  return Object.fromEntries(nodes) as Record<DevicePath, DeviceNode>;
}

function readNode(files: SystemFiles, path: DevicePath, minor: number | undefined): DeviceNode {
  const status = files.status(path);
  if (status === undefined) {
    return { state: "missing", mode: 0, uid: 0, gid: 0, isAccessible: false, minor };
  }
  const isRight =
    status.isCharacterDevice() && (minor === undefined || status.rdev === deviceNumber(minor));
  return {
    state: isRight ? "present" : "wrong",
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    // Reading the CID needs O_RDONLY; VMMs open theirs with O_RDWR.
    isAccessible: files.isAccessible(path, path !== "/dev/vsock"),
    minor,
  };
}

/** makedev(3) of a miscellaneous device. */
function deviceNumber(minor: number): number {
  return ((minor & ~0xff) << 12) | (MISC_MAJOR << 8) | (minor & 0xff);
}

/** Reads /proc/misc: the minor number and the name of each device. */
function parseMisc(text: string): Map<string, number> {
  const rows = text.matchAll(/^\s*(\d+) (\S+)$/gm);
  return new Map([...rows].map(([, minor, name = ""]) => [name, Number(minor)]));
}

/** The device id of a socket device, virtio 1.2 section 5. */
const VIRTIO_VSOCK_ID = 19;

/** Virtio vsock devices of this VM. */
export interface VirtioVsock {
  /** Devices that the VMM has given to this VM. */
  count: number;
  /** Those that have a driver. */
  driven: number;
}

/** Reads /sys/bus/virtio. */
export function readVirtioVsock(files: SystemFiles): VirtioVsock {
  const bus = "/sys/bus/virtio/devices";
  const devices = files
    .names(bus)
    .filter((name) => Number(files.text(`${bus}/${name}/device`)?.trim()) === VIRTIO_VSOCK_ID);
  const driven = devices.filter((name) => files.link(`${bus}/${name}/driver`) !== undefined);
  return { count: devices.length, driven: driven.length };
}
