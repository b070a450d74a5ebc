/** The screen of `vsockbox top` as lines of text. */
import { countOf } from "../../text/count.ts";
import { cutToColumns } from "../../text/cut-to-columns.ts";
import { type FittedColumn, fittedTable } from "../../text/fitted-table.ts";
import { printable } from "../../text/printable.ts";
import { formatBytes, formatUptime } from "../../text/units.ts";
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

/** What determines the lines besides the samples. */
export interface ViewOptions {
  /** Width, in columns. */
  columns: number;
  /** Most lines; Infinity for output that is not a screen. */
  rows: number;
  order: SortOrder;
  /** Whether the keys are named. */
  hasKeys: boolean;
}

const formatRate = (rate: Rate) =>
  rate === undefined ? "-" : `${formatBytes(Math.round(rate))}/s`;
const formatAge = (milliseconds: number) => formatUptime(milliseconds / 1000);

function vmState({ vm }: VmRow): string {
  if (!vm.vmm_connected) return "no VMM";
  return vm.driver_ready ? "ready" : "no driver";
}

const VM_COLUMNS: readonly FittedColumn<VmRow>[] = [
  { title: "CID", rank: 0, isNumber: true, cell: ({ vm }) => String(vm.guest_cid) },
  { title: "STATE", rank: 1, cell: vmState },
  { title: "UP", rank: 5, isNumber: true, cell: ({ vm }) => formatUptime(vm.uptime_seconds) },
  { title: "CONNS", rank: 2, isNumber: true, cell: ({ vm }) => String(vm.connections_open) },
  { title: "TO GUEST", rank: 3, isNumber: true, cell: (row) => formatRate(row.toGuestRate) },
  { title: "FROM GUEST", rank: 4, isNumber: true, cell: (row) => formatRate(row.fromGuestRate) },
  {
    title: "TOTAL TO",
    rank: 6,
    isNumber: true,
    cell: ({ vm }) => formatBytes(vm.counters.bytes_to_guest),
  },
  {
    title: "TOTAL FROM",
    rank: 7,
    isNumber: true,
    cell: ({ vm }) => formatBytes(vm.counters.bytes_from_guest),
  },
  { title: "SOCKET", rank: 8, isCut: true, cell: ({ vm }) => printable(vm.socket) },
];

const VM_CONNECTION_COLUMNS: readonly FittedColumn<VmConnectionRow>[] = [
  { title: "CID", rank: 0, isNumber: true, cell: ({ guestCid }) => String(guestCid) },
  {
    title: "HOST PORT",
    rank: 1,
    isNumber: true,
    cell: ({ connection }) => String(connection.host_port),
  },
  {
    title: "GUEST PORT",
    rank: 2,
    isNumber: true,
    cell: ({ connection }) => String(connection.guest_port),
  },
  { title: "BY", rank: 7, cell: ({ connection }) => connection.begun_by },
  { title: "TYPE", rank: 9, cell: ({ connection }) => connection.type },
  { title: "STATE", rank: 5, cell: ({ connection }) => connection.state },
  { title: "TO GUEST", rank: 3, isNumber: true, cell: (row) => formatRate(row.toGuestRate) },
  { title: "FROM GUEST", rank: 4, isNumber: true, cell: (row) => formatRate(row.fromGuestRate) },
  {
    title: "FREE",
    rank: 10,
    isNumber: true,
    cell: ({ connection }) => formatBytes(connection.guest_free_bytes),
  },
  {
    title: "WAITING",
    rank: 8,
    isNumber: true,
    cell: ({ connection }) => formatBytes(connection.waiting_bytes),
  },
  {
    title: "AGE",
    rank: 6,
    isNumber: true,
    cell: ({ connection }) => formatUptime(connection.age_seconds),
  },
];

function requestsOf({ connection }: AgentConnectionRow): string {
  const { requestCount, requests } = connection;
  if (requestCount === 0) return "idle";
  const more = requestCount - requests.length;
  return [...requests, ...(more > 0 ? [`${more} more`] : [])].join(", ");
}

const AGENT_CONNECTION_COLUMNS: readonly FittedColumn<AgentConnectionRow>[] = [
  { title: "ID", rank: 6, isNumber: true, cell: ({ connection }) => String(connection.id) },
  { title: "PEER", rank: 0, cell: ({ connection }) => connection.peer },
  { title: "AGE", rank: 4, isNumber: true, cell: ({ connection }) => formatAge(connection.ageMs) },
  { title: "RECEIVED", rank: 2, isNumber: true, cell: (row) => formatRate(row.receivedRate) },
  { title: "SENT", rank: 3, isNumber: true, cell: (row) => formatRate(row.sentRate) },
  {
    title: "TOTAL RECEIVED",
    rank: 7,
    isNumber: true,
    cell: ({ connection }) => formatBytes(connection.receivedBytes),
  },
  {
    title: "TOTAL SENT",
    rank: 8,
    isNumber: true,
    cell: ({ connection }) => formatBytes(connection.sentBytes),
  },
  { title: "REQUESTS", rank: 1, isCut: true, cell: requestsOf },
];

const SESSION_COLUMNS: readonly FittedColumn<SessionRow>[] = [
  { title: "SESSION", rank: 0, cell: ({ session }) => printable(session.id) },
  { title: "NAME", rank: 5, cell: ({ session }) => printable(session.name) },
  { title: "PID", rank: 6, isNumber: true, cell: ({ session }) => printable(session.pid) },
  { title: "STATE", rank: 1, cell: ({ session }) => printable(session.state) },
  { title: "TIME", rank: 4, isNumber: true, cell: ({ session }) => formatAge(session.elapsedMs) },
  { title: "OUTPUT", rank: 3, isNumber: true, cell: ({ outputRate }) => formatRate(outputRate) },
  {
    title: "TOTAL OUTPUT",
    rank: 7,
    isNumber: true,
    cell: ({ session }) => formatBytes(session.outputBytes),
  },
  { title: "COMMAND", rank: 2, isCut: true, cell: ({ session }) => printable(session.command) },
];

/** A table of the screen. */
interface Section {
  lines: string[];
  /** Of the rows that do not fit: "connections". */
  noun: string;
}

function sectionsOf(
  sample: TopSample,
  previous: TopSample | undefined,
  { order, columns }: ViewOptions,
): Section[] {
  if (sample.kind === "device") {
    const before = previous?.kind === "device" ? previous : undefined;
    const vms = vmRows(sample, before, order);
    const connections = vmConnectionRows(sample, before, order);
    return [
      { lines: fittedTable(VM_COLUMNS, vms, columns), noun: "VM" },
      { lines: fittedTable(VM_CONNECTION_COLUMNS, connections, columns), noun: "connection" },
    ].filter(({ lines }) => lines.length > 1);
  }
  const before = previous?.kind === "agent" ? previous : undefined;
  const connections = agentConnectionRows(sample, before, order);
  const sessions = sessionRows(sample, before, order);
  return [
    { lines: fittedTable(AGENT_CONNECTION_COLUMNS, connections, columns), noun: "connection" },
    { lines: fittedTable(SESSION_COLUMNS, sessions, columns), noun: "session" },
  ].filter(({ lines }) => lines.length > 1);
}

function deviceTitle({ vms, silentCount }: DeviceSample): string[] {
  const silent =
    silentCount === 0
      ? []
      : [`${countOf(silentCount, "VM")} of a hybrid-proxy that does not answer`];
  if (vms.length === 0) {
    return silent.length === 0 ? ["no hybrid-proxy of yours is running"] : silent;
  }
  const open = vms.reduce((sum, vm) => sum + vm.connections_open, 0);
  return [[`${countOf(vms.length, "VM")}, ${countOf(open, "connection")}`, ...silent].join(", ")];
}

function agentTitle({ target, facts, connections, sessions }: AgentSample): string[] {
  const { version, hostname, uptimeMs, load, memoryAvailableBytes, memoryTotalBytes } = facts;
  const memory = `${formatBytes(memoryAvailableBytes)} of ${formatBytes(memoryTotalBytes)} available`;
  const running = sessions.filter(({ state }) => state === "running").length;
  const counts =
    connections === undefined
      ? "this agent does not list its connections"
      : countOf(connections.length, "connection");
  return [
    `${printable(target)}: ${printable(hostname)}, vsockbox ${printable(version)}, up ${formatAge(uptimeMs)}`,
    `load ${load.join(" ")}, memory ${memory}`,
    `${counts}, ${countOf(running, "detached session")}`,
  ];
}

/**
 * Divides the lines of a screen among its tables: each gets what it needs, and those that need more share
 * the rest.
 *
 * @returns the number of lines for each.
 */
export function shareLines(needed: readonly number[], available: number): number[] {
  const shares = needed.map(() => 0);
  let rest = Math.max(0, available);
  let open = needed.map((_, index) => index);
  while (open.length > 0 && rest > 0) {
    const each = Math.max(1, Math.floor(rest / open.length));
    for (const index of open) {
      const given = Math.min(each, rest, (needed[index] ?? 0) - (shares[index] ?? 0));
      shares[index] = (shares[index] ?? 0) + given;
      rest -= given;
    }
    open = open.filter((index) => (shares[index] ?? 0) < (needed[index] ?? 0));
  }
  return shares;
}

/** Cuts a table to a number of lines, of which the last then counts the hidden rows. */
function cutSection({ lines, noun }: Section, available: number): string[] {
  if (lines.length <= available) return lines;
  if (available < 2) return [];
  const hidden = lines.length - (available - 1);
  return [...lines.slice(0, available - 1), `… ${countOf(hidden, `more ${noun}`)}`];
}

/**
 * Returns the lines of the screen: at most `rows`, none wider than `columns`.
 *
 * @param previous the sample before, for rates.
 */
export function topLines(
  sample: TopSample,
  previous: TopSample | undefined,
  options: ViewOptions,
): string[] {
  const { columns, rows, order, hasKeys } = options;
  const head = sample.kind === "device" ? deviceTitle(sample) : agentTitle(sample);
  const keys = hasKeys ? `    q: quit  s: sort (by ${order})` : "";
  const title = [...head.slice(0, -1), `${head.at(-1) ?? ""}${keys}`];
  const sections = sectionsOf(sample, previous, options);
  // An empty line before each table.
  const available = rows - title.length - sections.length;
  const needed = sections.map(({ lines }) => lines.length);
  const shares = Number.isFinite(rows) ? shareLines(needed, available) : needed;
  const tables = sections.flatMap((section, index) => {
    const lines = cutSection(section, shares[index] ?? 0);
    return lines.length === 0 ? [] : [""].concat(lines);
  });
  return [...title, ...tables].slice(0, rows).map((line) => cutToColumns(line, columns));
}
