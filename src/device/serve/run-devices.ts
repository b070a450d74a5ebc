/** The vhost-user vsock devices of one process. */
import type { HybridBackend, VmConfig } from "../config/device-config.ts";
import type { SocketOwners } from "../../net/socket-owner.ts";
import { onEndingSignal } from "../../process/signals.ts";
import { ListeningSockets, type ListenerSource } from "../host/listening-sockets.ts";
import { type Log, openLog } from "../../process/service/log.ts";
import { VsockDevice } from "../device.ts";
import { EventLoop } from "../../io/event-loop.ts";
import type { HostBackend, AcceptClient } from "../host/host-backend.ts";
import { type ObserverOptions, Observers } from "../observe/observers.ts";
import { UnixBackend } from "../host/unix-backend.ts";
import { VsockBackend } from "../host/vsock-backend.ts";

/** What all devices of a process have in common. */
export interface ServiceOptions extends ObserverOptions {
  /** Users besides this process's own and root whose services the guests may reach. */
  socketOwners?: SocketOwners | undefined;
}

/** How devices are served. */
export interface RunOptions extends ServiceOptions {
  /** Called when a signal no longer ends the process before the sockets are removed. */
  openSockets?: () => ListeningSockets;
  /** Called when everything that is needed is open, right before the first VMM. */
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
    introduce(configs, devices);
    observers.begin(loop);
    loop.whenIdle(collector(devices));
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

/** Slow readers get what the guests have sent to them, for a while; the rest is logged as lost. */
async function finishDelivery(
  loop: EventLoop,
  devices: readonly VsockDevice[],
  isHurried: () => boolean,
): Promise<void> {
  const deadline = performance.now() + DELIVERY_MS;
  const isDrained = () => devices.every((device) => device.isDrained);
  while (!isDrained() && performance.now() < deadline && !isHurried()) {
    loop.round(DELIVERY_ROUND_MS);
    // A second signal comes through here.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  for (const device of devices) device.dropDraining();
}

/** How long a device that ends waits for programs that are slow to read, in milliseconds. */
const DELIVERY_MS = 3000;

/** How long a round of that waits for events, in milliseconds. */
const DELIVERY_ROUND_MS = 50;

/** So many connections leave some megabytes behind, which the runtime would keep for long. */
const CONNECTIONS_TO_COLLECT = 2000;

/** Frees what connections of the past have left. */
function collector(devices: readonly VsockDevice[]): () => void {
  let collected = 0;
  return () => {
    const opened = devices.reduce((sum, { statistics }) => sum + statistics.opened, 0);
    if (opened - collected < CONNECTIONS_TO_COLLECT) return;
    collected = opened;
    Bun.gc(true);
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
  const openBackend = (take: AcceptClient) =>
    backendOf(config.backend, loop, listeners, take, onWarning, socketOwners);
  const vmmListener = listeners.unix(config.socket);
  const device = new VsockDevice({ ...config, vmmListener, openBackend }, loop, log);
  log.info(`waiting for its VMM on ${config.socket}`);
  return device;
}

function backendOf(
  backend: HybridBackend,
  loop: EventLoop,
  listeners: ListenerSource,
  take: AcceptClient,
  onWarning: (message: string) => void,
  socketOwners: SocketOwners | undefined,
): HostBackend {
  return backend.kind === "unix"
    ? new UnixBackend(loop, { ...backend, socketOwners }, listeners, take, onWarning)
    : new VsockBackend(loop, backend, listeners, take, onWarning);
}

/** VMs that share a group reach each other. */
function introduce(configs: readonly VmConfig[], devices: readonly VsockDevice[]): void {
  for (const [index, device] of devices.entries()) {
    const groups = new Set(configs[index]?.groups);
    for (const [other, sibling] of devices.entries()) {
      const isSibling = configs[other]?.groups.some((group) => groups.has(group)) ?? false;
      if (other !== index && isSibling) device.siblings.add(sibling);
    }
  }
}
