/** The vhost-user vsock devices of one process. */
import type { HybridBackend, VmConfig } from "../config/hybrid.ts";
import { onEndingSignal } from "../process/signals.ts";
import { type DeviceLog, VsockDevice } from "./device.ts";
import { EventLoop } from "./event-loop.ts";
import type { HostBackend, TakeClient } from "./host-backend.ts";
import { type ObserverOptions, Observers } from "./observers.ts";
import { UnixBackend } from "./unix-backend.ts";
import { sayWithoutWaiting } from "./talk.ts";
import { VsockBackend } from "./vsock-backend.ts";

/**
 * Serves all devices until a signal ends the process.
 *
 * @returns the exit status.
 * @throws {VsockboxError} CANNOT_CREATE, UNAVAILABLE (no vsock in this kernel), REFUSED.
 */
export async function runDevice(
  configs: readonly VmConfig[],
  options: ObserverOptions = {},
): Promise<number> {
  const loop = new EventLoop();
  const devices: VsockDevice[] = [];
  const observers = new Observers(options);
  using _signals = onEndingSignal(() => loop.stop());
  try {
    for (const config of configs) {
      const log = logOf(config);
      const device = openDevice(config, loop, log);
      devices.push(device);
      observers.add(config, device, log);
    }
    introduce(configs, devices);
    observers.begin(loop);
    await loop.run();
    return 0;
  } finally {
    for (const device of devices) device.close();
    await observers.end();
  }
}

function logOf({ guestCid }: VmConfig): DeviceLog {
  const log = (message: string) => sayWithoutWaiting(`vsockbox: VM ${guestCid}: ${message}`);
  return { info: log, warn: log };
}

function openDevice(config: VmConfig, loop: EventLoop, log: DeviceLog): VsockDevice {
  const warn = (message: string) => log.warn(message);
  const openBackend = (take: TakeClient) => backendOf(config.backend, loop, take, warn);
  const device = new VsockDevice({ ...config, openBackend }, loop, log);
  log.info(`waiting for its VMM on ${config.socket}`);
  return device;
}

function backendOf(
  backend: HybridBackend,
  loop: EventLoop,
  take: TakeClient,
  warn: (message: string) => void,
): HostBackend {
  return backend.kind === "unix"
    ? new UnixBackend(loop, backend, take, warn)
    : new VsockBackend(loop, backend, take, warn);
}

/** VMs that share a group reach each other. */
function introduce(configs: readonly VmConfig[], devices: readonly VsockDevice[]): void {
  for (const [index, device] of devices.entries()) {
    const groups = new Set(configs[index]?.groups);
    for (const [other, sibling] of devices.entries()) {
      const isSibling = configs[other]?.groups.some((group) => groups.has(group)) ?? false;
      if (other !== index && isSibling) device.siblings.introduce(sibling);
    }
  }
}
