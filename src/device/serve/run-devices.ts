/** Serves the vhost-user vsock devices of one process. */
import type { HybridBackend, VmConfig } from "../config/device-config.ts";
import type { SocketOwners } from "../../net/socket-owner.ts";
import { onEndingSignal } from "../../process/signals.ts";
import { ListeningSockets, type ListenerSource } from "../host/listening-sockets.ts";
import { type Log, openLog } from "../../process/service/log.ts";
import { VsockDevice } from "../device.ts";
import { ConnectionGarbage } from "./garbage.ts";
import { EventLoop } from "../../io/event-loop.ts";
import type { HostBackend, AcceptClient } from "../host/host-backend.ts";
import { type ObserverOptions, Observers } from "../observe/observers.ts";
import { UnixBackend } from "../host/unix-backend.ts";
import { VsockBackend } from "../host/vsock-backend.ts";
import { nextTurn } from "../../io/fair-turns.ts";

/** Options of all devices of a process. */
export interface DevicesOptions extends ObserverOptions {
  /** Users besides this process's own and root whose services the guests may reach. */
  socketOwners?: SocketOwners | undefined;
}

/** Options of {@link runDevice}. */
export interface RunOptions extends DevicesOptions {
  /** Called when a signal no longer ends the process before the sockets are removed. */
  openSockets?: () => ListeningSockets;
  /** Called when everything is open, before the first VMM is accepted. */
  onReady?: () => void;
}

/**
 * Serves all devices until a signal ends the process.
 *
 * @returns the exit status.
 * @throws {VsockboxError} CANNOT_CREATE, UNAVAILABLE (no vsock in this kernel), REFUSED, CONFIG.
 */
export async function runDevice(
  configs: readonly VmConfig[],
  { openSockets, onReady, ...options }: RunOptions = {},
): Promise<number> {
  const loop = new EventLoop();
  const devices: VsockDevice[] = [];
  const observers = new Observers(options);
  let signals = 0;
  using _signals = onEndingSignal(() => {
    signals++;
    loop.stop();
  });
  const { warn } = openLog();
  const sockets = openSockets?.() ?? ListeningSockets.open(configs, warn);
  try {
    for (const config of configs) {
      const log = openLog({ tag: `VM ${config.guestCid}` });
      const device = openDevice(config, loop, sockets, log, options.socketOwners);
      devices.push(device);
      observers.add(config, device, log);
    }
    addSiblings(configs, devices);
    observers.begin(loop);
    loop.whenIdle(resting(devices));
    onReady?.();
    await loop.run();
    return 0;
  } finally {
    for (const device of devices) device.close();
    sockets.close();
    await finishDelivery(loop, devices, () => signals > 1);
    await observers.end();
    loop.close();
  }
}

/** Writes queued bytes of the guests to slow readers for up to {@link DELIVERY_MS}; logs the rest as lost. */
async function finishDelivery(
  loop: EventLoop,
  devices: readonly VsockDevice[],
  isCancelled: () => boolean,
): Promise<void> {
  const deadline = performance.now() + DELIVERY_MS;
  const isDrained = () => devices.every((device) => device.isDrained);
  while (!isDrained() && performance.now() < deadline && !isCancelled()) {
    loop.round(DELIVERY_ROUND_MS);
    // The runtime delivers a second signal here.
    await nextTurn();
  }
  for (const device of devices) device.dropDraining();
}

/** How long a device that ends waits for slow readers, in milliseconds. */
const DELIVERY_MS = 3000;

/** Longest wait for events meanwhile, in milliseconds. */
const DELIVERY_ROUND_MS = 50;

/** Returns an action that frees memory which the devices do not need at rest. */
function resting(devices: readonly VsockDevice[]): () => void {
  const garbage = new ConnectionGarbage();
  return () => {
    for (const device of devices) device.rest();
    const opened = devices.reduce((sum, { statistics }) => sum + statistics.opened, 0);
    if (garbage.isDue(opened)) Bun.gc(true);
  };
}

function openDevice(
  config: VmConfig,
  loop: EventLoop,
  listeners: ListenerSource,
  log: Log,
  socketOwners: SocketOwners | undefined,
): VsockDevice {
  const onWarning = (message: string) => log.warn(message);
  const openBackend = (acceptClient: AcceptClient) =>
    backendOf(config.backend, loop, listeners, acceptClient, onWarning, socketOwners);
  const vmmListener = listeners.unix(config.socket);
  const device = new VsockDevice({ ...config, vmmListener, openBackend }, loop, log);
  log.info(`waiting for its VMM on ${config.socket}`);
  return device;
}

function backendOf(
  backend: HybridBackend,
  loop: EventLoop,
  listeners: ListenerSource,
  acceptClient: AcceptClient,
  onWarning: (message: string) => void,
  socketOwners: SocketOwners | undefined,
): HostBackend {
  return backend.kind === "unix"
    ? new UnixBackend(loop, { ...backend, socketOwners }, listeners, acceptClient, onWarning)
    : new VsockBackend(loop, backend, listeners, acceptClient, onWarning);
}

/** Lets VMs that share a group reach each other. */
function addSiblings(configs: readonly VmConfig[], devices: readonly VsockDevice[]): void {
  for (const [index, device] of devices.entries()) {
    const groups = new Set(configs[index]?.groups);
    for (const [other, sibling] of devices.entries()) {
      const isSibling = configs[other]?.groups.some((group) => groups.has(group)) ?? false;
      if (other !== index && isSibling) device.siblings.add(sibling);
    }
  }
}
