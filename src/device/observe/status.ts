/** The state of a VM as plain data, for status and metrics. */
import { resolve } from "node:path";
import type { CaptureFacts } from "./capture.ts";
import { LARGE_BUFFER_BYTES } from "../vsock/large-buffers.ts";
import type { HostConnection } from "../vsock/host-connection.ts";
import type { ObservedVm } from "./observed-vm.ts";
import { Feature } from "../../protocols/vhost-user/features.ts";
import { State } from "../../protocols/virtio-vsock/connection.ts";
import { PacketType } from "../../protocols/virtio-vsock/packet.ts";

/** A live connection. */
export interface ConnectionStatus {
  host_port: number;
  guest_port: number;
  begun_by: "host" | "guest";
  type: "stream" | "seqpacket";
  /** `host-ended` and `guest-ended`: that side has shut down sending. */
  state: "opening" | "open" | "host-ended" | "guest-ended" | "closing";
  bytes_to_guest: number;
  bytes_from_guest: number;
  /** The guest's credit: bytes that it may be sent before it reads more. */
  guest_free_bytes: number;
  /** Bytes of the guest that the program on the host has not read yet. */
  waiting_bytes: number;
  age_seconds: number;
}

/** A VM without its connections. */
export interface VmFacts {
  guest_cid: number;
  socket: string;
  uds_path?: string;
  forward_cid?: number;
  vmm_connected: boolean;
  driver_ready: boolean;
  /** The offered features that the driver has accepted, by name. */
  features: string[];
  uptime_seconds: number;
  limits: {
    connections: number;
    tx_buffer_bytes: number;
    queue_entries: number;
  };
  connections_open: number;
  /** Connections that have ended for the guest, with bytes of it for a slow reader on the host. */
  connections_draining: number;
  /** Connections with other VMs of the process. */
  sibling_connections: number;
  /** Host clients without a CONNECT line, and connects to services without a result. */
  pending_clients: number;
  counters: VmCounters;
  capture: CaptureFacts | null;
}

/** Counters, which only grow from the start of the process. */
export interface VmCounters {
  opened_by_host: number;
  opened_by_guest: number;
  refused_by_host: number;
  refused_by_guest: number;
  resets_to_guest: number;
  resets_from_guest: number;
  packets_to_guest: number;
  packets_from_guest: number;
  /** Part of `packets_from_guest`. */
  packets_to_siblings: number;
  /** Packets whose header and payload are in one descriptor: Linux from 6.2 on has such buffers. */
  single_descriptor_to_guest: number;
  single_descriptor_from_guest: number;
  bytes_to_guest: number;
  bytes_from_guest: number;
  /** Bytes of the guest that programs on the host have not read in time. */
  bytes_lost: number;
  credit_starved: number;
  interrupts: number;
  kicks: number;
  vmms_connected: number;
  vmms_dropped: number;
  /** Host clients that were closed before their CONNECT line was whole. */
  clients_dropped: number;
  /** Host clients that were closed because no guest is ready, or there are too many connections. */
  clients_refused: number;
  /** Host clients whose CONNECT the guest has not answered in time. */
  connect_timeouts: number;
  capture_packets_lost: number;
}

/** A VM with its connections. */
export interface VmStatus extends VmFacts {
  connections: ConnectionStatus[];
}

/** Returns the state of a VM without its connections. */
export function vmFacts(vm: ObservedVm): VmFacts {
  const { config, device } = vm;
  const { backend } = config;
  return {
    guest_cid: config.guestCid,
    socket: resolve(config.socket),
    ...(backend.kind === "unix"
      ? { uds_path: resolve(backend.udsPath) }
      : { forward_cid: backend.forwardCid }),
    vmm_connected: device.hasVmm,
    driver_ready: device.isReady,
    features: featureNames(device.features),
    uptime_seconds: secondsSince(vm.since),
    limits: {
      connections: config.maxConnections,
      tx_buffer_bytes: config.txBufferSize ?? LARGE_BUFFER_BYTES,
      queue_entries: config.queueSize,
    },
    connections_open: device.muxer.count,
    connections_draining: device.muxer.drainingCount,
    sibling_connections: device.siblings.count,
    pending_clients: device.clients.pending,
    counters: countersOf(vm),
    capture: vm.capture ?? null,
  };
}

/** Returns {@link vmFacts} and the connections, by ascending ports of the host. */
export function statusOf(vm: ObservedVm): VmStatus {
  const connections = [...vm.device.muxer].map(connectionOf);
  connections.sort((a, b) => a.host_port - b.host_port || a.guest_port - b.guest_port);
  return { ...vmFacts(vm), connections };
}

function countersOf({ device, packetsLost }: ObservedVm): VmCounters {
  const { statistics } = device;
  return {
    opened_by_host: statistics.opened - statistics.openedByGuest,
    opened_by_guest: statistics.openedByGuest,
    refused_by_host: statistics.refused,
    refused_by_guest: statistics.refusedByGuest,
    resets_to_guest: statistics.resets,
    resets_from_guest: statistics.resetsFromGuest,
    packets_to_guest: statistics.packetsToGuest,
    packets_from_guest: statistics.packetsFromGuest,
    packets_to_siblings: statistics.packetsToSiblings,
    single_descriptor_to_guest: device.singleDescriptorToGuest,
    single_descriptor_from_guest: statistics.singleDescriptorFromGuest,
    bytes_to_guest: statistics.bytesToGuest,
    bytes_from_guest: statistics.bytesFromGuest,
    bytes_lost: statistics.bytesLost,
    credit_starved: statistics.creditStarved,
    interrupts: statistics.signals,
    kicks: statistics.kicks,
    vmms_connected: statistics.vmmConnects,
    vmms_dropped: statistics.vmmDrops,
    clients_dropped: device.clients.dropped ?? 0,
    clients_refused: statistics.clientsRefused,
    connect_timeouts: statistics.connectTimeouts,
    capture_packets_lost: packetsLost,
  };
}

function connectionOf(connection: HostConnection): ConnectionStatus {
  const { vsock } = connection;
  return {
    host_port: vsock.hostPort,
    guest_port: vsock.guestPort,
    begun_by: connection.isFromGuest ? "guest" : "host",
    type: vsock.type === PacketType.Seqpacket ? "seqpacket" : "stream",
    state: stateOf(connection),
    bytes_to_guest: connection.bytesToGuest,
    bytes_from_guest: connection.bytesFromGuest,
    guest_free_bytes: vsock.credit,
    waiting_bytes: vsock.waiting,
    age_seconds: secondsSince(connection.since),
  };
}

function stateOf({ vsock }: HostConnection): ConnectionStatus["state"] {
  if (vsock.state === State.Dead || vsock.isAwaitingRst) return "closing";
  if (vsock.state !== State.Open) return "opening";
  if (vsock.hostEnded) return "host-ended";
  return vsock.guestEnded ? "guest-ended" : "open";
}

/** Returns names such as `event_index`; a bit without a name is `bit_N`. */
function featureNames(features: bigint): string[] {
  const named = Object.entries(Feature).map(
    ([name, bit]) => [bit, name.replaceAll(/(?<=.)[A-Z]|[0-9]+/g, "_$&").toLowerCase()] as const,
  );
  const names = new Map<bigint, string>(named);
  const found: string[] = [];
  for (let bit = 0; features >> BigInt(bit) !== 0n; bit++) {
    const mask = 1n << BigInt(bit);
    if ((features & mask) !== 0n) found.push(names.get(mask) ?? `bit_${bit}`);
  }
  return found;
}

function secondsSince(then: number): number {
  return Math.round(performance.now() - then) / 1000;
}
