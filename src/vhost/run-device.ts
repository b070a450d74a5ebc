/** The vhost-user vsock devices of one process. */
import type { HybridBackend, VmConfig } from "../config/hybrid.ts";
import { onEndingSignal } from "../process/signals.ts";
import { say } from "../ui/report.ts";
import { VsockDevice } from "./device.ts";
import { EventLoop } from "./event-loop.ts";
import type { HostBackend, TakeClient } from "./host-backend.ts";
import { UnixBackend } from "./unix-backend.ts";
import { VsockBackend } from "./vsock-backend.ts";

/**
 * Serves all devices until a signal ends the process.
 *
 * @returns the exit status.
 * @throws {VsockboxError} CANNOT_CREATE, UNAVAILABLE (no vsock in this kernel), REFUSED.
 */
export async function runDevice(configs: readonly VmConfig[]): Promise<number> {
  const loop = new EventLoop();
  const devices: VsockDevice[] = [];
  using _signals = onEndingSignal(() => loop.stop());
  try {
    for (const config of configs) devices.push(openDevice(config, loop));
    introduce(configs, devices);
    await loop.run();
    return 0;
  } finally {
    for (const device of devices) device.close();
  }
}

function openDevice(config: VmConfig, loop: EventLoop): VsockDevice {
  const name = `VM ${config.guestCid}`;
  const log = (message: string) => say(`vsockbox: ${name}: ${message}`);
  const openBackend = (take: TakeClient) => backendOf(config.backend, loop, take);
  const device = new VsockDevice({ ...config, openBackend }, loop, { info: log, warn: log });
  log(`waiting for its VMM on ${config.socket}`);
  return device;
}

function backendOf(backend: HybridBackend, loop: EventLoop, take: TakeClient): HostBackend {
  return backend.kind === "unix"
    ? new UnixBackend(loop, backend, take)
    : new VsockBackend(loop, backend, take);
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
