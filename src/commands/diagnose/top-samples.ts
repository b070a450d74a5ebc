/** What `vsockbox top` shows, from two samples: rows with totals, and rates between the samples. */
import type { ConnectionStatus, VmStatus } from "../../device/observe/status.ts";
import type { ConnectionRecord } from "../../protocols/agent/connection-records.ts";

/** The VMs of devices at one time. */
export interface DeviceSample {
  kind: "device";
  /** By performance.now(). */
  takenAtMs: number;
  vms: readonly VmStatus[];
  /** Number of devices that do not answer. */
  silentCount: number;
}

/** A detached session of an agent. */
export interface SessionFacts {
  id: string;
  name: string;
  pid: string;
  /** `running`, or `ended (STATUS)`. */
  state: string;
  elapsedMs: number;
  /** Output since its start, also what is not kept. */
  outputBytes: number;
  command: string;
}

/** Facts of an agent and its guest. */
export interface SampledAgent {
  version: string;
  hostname: string;
  uptimeMs: number;
  load: readonly number[];
  memoryTotalBytes: number;
  memoryAvailableBytes: number;
}

/** An agent at one time. */
export interface AgentSample {
  kind: "agent";
  /** By performance.now(). */
  takenAtMs: number;
  /** As the user wrote it. */
  target: string;
  facts: SampledAgent;
  /** Undefined for an agent that does not list them. */
  connections: readonly ConnectionRecord[] | undefined;
  sessions: readonly SessionFacts[];
}

/** One sample of either kind. */
export type TopSample = DeviceSample | AgentSample;

/** Bytes per second; undefined without an earlier sample. */
export type Rate = number | undefined;

/** A VM with its rates. */
export interface VmRow {
  vm: VmStatus;
  toGuestRate: Rate;
  fromGuestRate: Rate;
}

/** A connection of a VM with its rates. */
export interface VmConnectionRow {
  guestCid: number;
  /** The VM's socket. */
  socket: string;
  connection: ConnectionStatus;
  toGuestRate: Rate;
  fromGuestRate: Rate;
}

/** A connection of an agent with its rates. */
export interface AgentConnectionRow {
  connection: ConnectionRecord;
  receivedRate: Rate;
  sentRate: Rate;
}

/** A detached session with the rate of its output. */
export interface SessionRow {
  session: SessionFacts;
  outputRate: Rate;
}

/** The orders of rows: by traffic, with the newest first, or by CID, port and id. */
export const SORT_ORDERS = ["rate", "age", "id"] as const;

/** One of {@link SORT_ORDERS}. */
export type SortOrder = (typeof SORT_ORDERS)[number];

/** Returns the order after another one, for the key that changes it. */
export function nextOrder(order: SortOrder): SortOrder {
  return SORT_ORDERS[(SORT_ORDERS.indexOf(order) + 1) % SORT_ORDERS.length] ?? order;
}

/**
 * Returns the rate of a counter, in units per second; undefined if there is no earlier value, or it was
 * larger: then it belonged to something else.
 */
export function rateOf(before: number | undefined, after: number, elapsedMs: number): Rate {
  if (before === undefined || after < before || elapsedMs <= 0) return undefined;
  return ((after - before) * 1000) / elapsedMs;
}

const total = (one: Rate, other: Rate) => (one ?? 0) + (other ?? 0);

interface Sortable {
  rate: number;
  ageMs: number;
  ids: readonly number[];
}

/** Sorts rows; equal ones by their ids. */
function sorted<Row>(rows: Row[], order: SortOrder, keys: (row: Row) => Sortable): Row[] {
  const compareIds = (one: Sortable, other: Sortable) => {
    const at = one.ids.findIndex((id, index) => id !== other.ids[index]);
    return at === -1 ? 0 : (one.ids[at] ?? 0) - (other.ids[at] ?? 0);
  };
  return rows.sort((one, other) => {
    const [a, b] = [keys(one), keys(other)];
    const first = order === "rate" ? b.rate - a.rate : order === "age" ? a.ageMs - b.ageMs : 0;
    return first || compareIds(a, b);
  });
}

const connectionKey = ({ host_port, guest_port, begun_by }: ConnectionStatus) =>
  `${begun_by} ${host_port} ${guest_port}`;

/** Returns the rows of a device's VMs. */
export function vmRows(
  sample: DeviceSample,
  previous: DeviceSample | undefined,
  order: SortOrder,
): VmRow[] {
  const elapsedMs = sample.takenAtMs - (previous?.takenAtMs ?? sample.takenAtMs);
  const rows = sample.vms.map((vm) => {
    const before = previous?.vms.find(({ socket }) => socket === vm.socket)?.counters;
    const { bytes_to_guest, bytes_from_guest } = vm.counters;
    return {
      vm,
      toGuestRate: rateOf(before?.bytes_to_guest, bytes_to_guest, elapsedMs),
      fromGuestRate: rateOf(before?.bytes_from_guest, bytes_from_guest, elapsedMs),
    };
  });
  return sorted(rows, order, ({ vm, toGuestRate, fromGuestRate }) => ({
    rate: total(toGuestRate, fromGuestRate),
    ageMs: vm.uptime_seconds * 1000,
    ids: [vm.guest_cid],
  }));
}

/** Returns the rows of all connections of a device's VMs. */
export function vmConnectionRows(
  sample: DeviceSample,
  previous: DeviceSample | undefined,
  order: SortOrder,
): VmConnectionRow[] {
  const elapsedMs = sample.takenAtMs - (previous?.takenAtMs ?? sample.takenAtMs);
  const rows = sample.vms.flatMap(({ guest_cid: guestCid, socket, connections }) => {
    const earlier = previous?.vms.find((vm) => vm.socket === socket)?.connections ?? [];
    const byKey = new Map(earlier.map((connection) => [connectionKey(connection), connection]));
    return connections.map((connection): VmConnectionRow => {
      const before = byKey.get(connectionKey(connection));
      const { bytes_to_guest, bytes_from_guest } = connection;
      return {
        guestCid,
        socket,
        connection,
        toGuestRate: rateOf(before?.bytes_to_guest, bytes_to_guest, elapsedMs),
        fromGuestRate: rateOf(before?.bytes_from_guest, bytes_from_guest, elapsedMs),
      };
    });
  });
  return sorted(rows, order, ({ guestCid, connection, toGuestRate, fromGuestRate }) => ({
    rate: total(toGuestRate, fromGuestRate),
    ageMs: connection.age_seconds * 1000,
    ids: [guestCid, connection.host_port, connection.guest_port],
  }));
}

/** Returns the rows of an agent's connections. */
export function agentConnectionRows(
  { connections = [], takenAtMs }: AgentSample,
  previous: AgentSample | undefined,
  order: SortOrder,
): AgentConnectionRow[] {
  const elapsedMs = takenAtMs - (previous?.takenAtMs ?? takenAtMs);
  const byId = new Map(previous?.connections?.map((connection) => [connection.id, connection]));
  const rows = connections.map((connection) => {
    const before = byId.get(connection.id);
    return {
      connection,
      receivedRate: rateOf(before?.receivedBytes, connection.receivedBytes, elapsedMs),
      sentRate: rateOf(before?.sentBytes, connection.sentBytes, elapsedMs),
    };
  });
  return sorted(rows, order, ({ connection: { ageMs, id }, receivedRate, sentRate }) => ({
    rate: total(receivedRate, sentRate),
    ageMs,
    ids: [id],
  }));
}

/** Returns the rows of an agent's detached sessions. */
export function sessionRows(
  { sessions, takenAtMs }: AgentSample,
  previous: AgentSample | undefined,
  order: SortOrder,
): SessionRow[] {
  const elapsedMs = takenAtMs - (previous?.takenAtMs ?? takenAtMs);
  const byId = new Map(previous?.sessions.map((session) => [session.id, session]));
  const rows = sessions.map((session, index) => {
    const before = byId.get(session.id)?.outputBytes;
    return { session, index, outputRate: rateOf(before, session.outputBytes, elapsedMs) };
  });
  return sorted(rows, order, ({ session, index, outputRate }) => ({
    rate: outputRate ?? 0,
    ageMs: session.elapsedMs,
    ids: [index],
  }));
}
