/** Samples of `vsockbox top` for tests. */
import type {
  AgentSample,
  DeviceSample,
  SessionFacts,
} from "../../src/commands/diagnose/top-samples.ts";
import type { ConnectionStatus, VmStatus } from "../../src/device/observe/status.ts";
import type { ConnectionRecord } from "../../src/protocols/agent/connection-records.ts";

/** A connection of a VM. */
export function vmConnection(fields: Partial<ConnectionStatus> = {}): ConnectionStatus {
  return {
    ...{ host_port: 1024, guest_port: 5000, begun_by: "host", type: "stream", state: "open" },
    ...{ bytes_to_guest: 0, bytes_from_guest: 0, guest_free_bytes: 65_536, waiting_bytes: 0 },
    age_seconds: 10,
    ...fields,
  };
}

/** A VM whose counters of bytes are those that are named. */
export function vm(
  cid: number,
  toGuest: number,
  fromGuest: number,
  connections: ConnectionStatus[] = [],
  fields: Partial<VmStatus> = {},
): VmStatus {
  const counters = { bytes_to_guest: toGuest, bytes_from_guest: fromGuest };
  return {
    ...{ guest_cid: cid, socket: `/run/vm${cid}.socket`, vmm_connected: true, driver_ready: true },
    ...{ features: [], uptime_seconds: 100 - cid, connections_open: connections.length },
    ...{ connections_draining: 0, sibling_connections: 0, pending_clients: 0, capture: null },
    limits: { connections: 1023, tx_buffer_bytes: 65_536, queue_entries: 1024 },
    // Only these two are shown.
    counters: counters as VmStatus["counters"],
    connections,
    ...fields,
  };
}

/** VMs at a time. */
export function deviceSample(takenAtMs: number, ...vms: VmStatus[]): DeviceSample {
  return { kind: "device", takenAtMs, vms, silentCount: 0 };
}

/** A connection of an agent. */
export function agentConnection(
  id: number,
  fields: Partial<ConnectionRecord> = {},
): ConnectionRecord {
  return {
    ...{ id, peer: `vsock:2:${1000 + id}`, ageMs: id * 1000, receivedBytes: 0, sentBytes: 0 },
    ...{ requestCount: 1, requests: [`exec job-${id}`] },
    ...fields,
  };
}

/** A detached session. */
export function session(id: string, fields: Partial<SessionFacts> = {}): SessionFacts {
  return {
    ...{ id, name: "", pid: "77", state: "running", elapsedMs: 5000, outputBytes: 0 },
    command: `command-of-${id}`,
    ...fields,
  };
}

/** An agent at a time. */
export function agentSample(takenAtMs: number, fields: Partial<AgentSample> = {}): AgentSample {
  const gibibyte = 1024 ** 3;
  return {
    ...{ kind: "agent", takenAtMs, target: "web", connections: [], sessions: [] },
    facts: {
      ...{ version: "0.1.0", hostname: "guest", uptimeMs: 60_000, load: [0.5, 0.25, 0.1] },
      ...{ memoryTotalBytes: 4 * gibibyte, memoryAvailableBytes: 3 * gibibyte },
    },
    ...fields,
  };
}
