/** The rows of `vsockbox top` as JSON: docs/json.md. */
import {
  type AgentConnectionRow,
  agentConnectionRows,
  type AgentSample,
  type DeviceSample,
  type Rate,
  type SessionRow,
  sessionRows,
  type SortOrder,
  type TopSample,
  type VmConnectionRow,
  vmConnectionRows,
  type VmRow,
  vmRows,
} from "./top-samples.ts";

type JsonObject = Record<string, unknown>;

const MS_PER_SECOND = 1000;

const rateJson = (rate: Rate) => (rate === undefined ? null : Math.round(rate));

function vmJson(
  { vm, toGuestRate, fromGuestRate }: VmRow,
  connections: readonly JsonObject[],
): JsonObject {
  return {
    guest_cid: vm.guest_cid,
    socket: vm.socket,
    vmm_connected: vm.vmm_connected,
    driver_ready: vm.driver_ready,
    uptime_ms: vm.uptime_seconds * MS_PER_SECOND,
    connections_open: vm.connections_open,
    to_guest_bytes: vm.counters.bytes_to_guest,
    from_guest_bytes: vm.counters.bytes_from_guest,
    to_guest_bytes_per_second: rateJson(toGuestRate),
    from_guest_bytes_per_second: rateJson(fromGuestRate),
    connections,
  };
}

function vmConnectionJson({ connection, toGuestRate, fromGuestRate }: VmConnectionRow): JsonObject {
  return {
    host_port: connection.host_port,
    guest_port: connection.guest_port,
    begun_by: connection.begun_by,
    type: connection.type,
    state: connection.state,
    to_guest_bytes: connection.bytes_to_guest,
    from_guest_bytes: connection.bytes_from_guest,
    to_guest_bytes_per_second: rateJson(toGuestRate),
    from_guest_bytes_per_second: rateJson(fromGuestRate),
    guest_free_bytes: connection.guest_free_bytes,
    waiting_bytes: connection.waiting_bytes,
    age_ms: Math.round(connection.age_seconds * MS_PER_SECOND),
  };
}

function deviceJson(
  sample: DeviceSample,
  previous: DeviceSample | undefined,
  order: SortOrder,
): JsonObject[] {
  const connections = vmConnectionRows(sample, previous, order);
  return vmRows(sample, previous, order).map((row) => {
    const own = connections.filter(({ socket }) => socket === row.vm.socket);
    return vmJson(row, own.map(vmConnectionJson));
  });
}

function agentConnectionJson({ connection, receivedRate, sentRate }: AgentConnectionRow) {
  return {
    id: connection.id,
    peer: connection.peer,
    age_ms: connection.ageMs,
    received_bytes: connection.receivedBytes,
    sent_bytes: connection.sentBytes,
    received_bytes_per_second: rateJson(receivedRate),
    sent_bytes_per_second: rateJson(sentRate),
    request_count: connection.requestCount,
    requests: connection.requests,
  };
}

function sessionJson({ session, outputRate }: SessionRow): JsonObject {
  return {
    id: session.id,
    name: session.name === "" ? null : session.name,
    state: session.state,
    elapsed_ms: session.elapsedMs,
    output_bytes: session.outputBytes,
    output_bytes_per_second: rateJson(outputRate),
    command: session.command,
  };
}

function agentJson(
  sample: AgentSample,
  previous: AgentSample | undefined,
  order: SortOrder,
): JsonObject {
  const { target, facts, connections } = sample;
  return {
    target,
    version: facts.version,
    hostname: facts.hostname,
    uptime_ms: facts.uptimeMs,
    load: facts.load,
    memory_total_bytes: facts.memoryTotalBytes,
    memory_available_bytes: facts.memoryAvailableBytes,
    connections:
      connections === undefined
        ? null
        : agentConnectionRows(sample, previous, order).map(agentConnectionJson),
    sessions: sessionRows(sample, previous, order).map(sessionJson),
  };
}

/** Returns the objects of a sample, one for each VM or for the agent. */
export function topJson(
  sample: TopSample,
  previous: TopSample | undefined,
  order: SortOrder,
): JsonObject[] {
  if (sample.kind === "device") {
    return deviceJson(sample, previous?.kind === "device" ? previous : undefined, order);
  }
  return [agentJson(sample, previous?.kind === "agent" ? previous : undefined, order)];
}
