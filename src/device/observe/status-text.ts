/** Formats the state of a VM as text. */
import { table } from "../../text/table.ts";
import { formatBytes, formatUptime } from "../../text/units.ts";
import type { ConnectionStatus, VmStatus } from "./status.ts";
import { countOf } from "../../text/count.ts";

const HEAD = [
  "HOST PORT",
  "GUEST PORT",
  "BY",
  "TYPE",
  "STATE",
  "TO GUEST",
  "FROM GUEST",
  "FREE",
  "WAITING",
  "AGE",
] as const;

/** Returns the lines for one VM: sockets, counters, limits, and a table of its connections. */
export function statusLines(status: VmStatus): string[] {
  const { counters } = status;
  const leadsTo = status.uds_path ?? `CID ${status.forward_cid ?? "?"}`;
  const lines = [
    `VM ${status.guest_cid}: ${vmState(status)}, up ${formatUptime(status.uptime_seconds)}`,
    `  sockets      ${status.socket}, ${leadsTo}`,
    `  connections  ${status.connections_open} of ${status.limits.connections}; opened by host ${counters.opened_by_host}, by guest ${counters.opened_by_guest}; refused by host ${counters.refused_by_host}, by guest ${counters.refused_by_guest}`,
    `  clients      ${status.pending_clients} pending; ${counters.clients_dropped} closed without a CONNECT line, ${counters.clients_refused} for want of a guest, ${counters.connect_timeouts} for want of its answer`,
    `  to guest     ${formatBytes(counters.bytes_to_guest)} in ${countOf(counters.packets_to_guest, "packet")}, ${countOf(counters.resets_to_guest, "reset")}, ${countOf(counters.credit_starved, "time")} without credit`,
    `  from guest   ${formatBytes(counters.bytes_from_guest)} in ${countOf(counters.packets_from_guest, "packet")}, ${countOf(counters.resets_from_guest, "reset")}; ${countOf(counters.packets_to_siblings, "packet")} to other VMs, ${countOf(status.sibling_connections, "connection")} with them`,
    `  signals      ${countOf(counters.interrupts, "interrupt")}, ${countOf(counters.kicks, "kick")}`,
    `  limits       at most ${formatBytes(status.limits.tx_buffer_bytes)} for each connection, rings of ${status.limits.queue_entries}`,
  ];
  if (status.connections_draining > 0 || counters.bytes_lost > 0) {
    lines.push(
      `  slow readers ${status.connections_draining} of closed connections; ${formatBytes(counters.bytes_lost)} lost`,
    );
  }
  if (status.features.length > 0) lines.push(`  features     ${status.features.join(" ")}`);
  const { capture } = status;
  if (capture !== null) {
    const size = formatBytes(capture.bytes);
    lines.push(
      `  capture      ${capture.file}: ${countOf(capture.packets, "packet")}, ${size}, ${capture.packets_lost} lost`,
    );
  }
  if (status.connections.length === 0) return lines;
  const rows = status.connections.map(rowOf);
  return [...lines, "", ...table(HEAD, rows).map((line) => `  ${line}`)];
}

function vmState({ vmm_connected: hasVmm, driver_ready: isReady, counters }: VmStatus): string {
  const dropped = counters.vmms_dropped === 0 ? "" : ` (${counters.vmms_dropped} dropped)`;
  if (!hasVmm) return `no VMM${dropped}`;
  return `VMM connected${dropped}, ${isReady ? "driver ready" : "no driver yet"}`;
}

function rowOf(connection: ConnectionStatus): string[] {
  return [
    String(connection.host_port),
    String(connection.guest_port),
    connection.begun_by,
    connection.type,
    connection.state,
    formatBytes(connection.bytes_to_guest),
    formatBytes(connection.bytes_from_guest),
    formatBytes(connection.guest_free_bytes),
    formatBytes(connection.waiting_bytes),
    formatUptime(connection.age_seconds),
  ];
}
