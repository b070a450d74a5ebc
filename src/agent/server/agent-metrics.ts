/** Metrics of the agent itself: its sessions, commands, buffers and process. Pure. */
import { type Metric, metricTypeOf, type Sample } from "../../protocols/prometheus/text.ts";
import type { AgentCounters } from "./agent-counters.ts";

/** State of an agent and of its process. */
export interface AgentState {
  version: string;
  commit: string;
  /** Platform that the program is built for, such as `linux-x64`. */
  platform: string;
  counters: Pick<
    AgentCounters,
    | "sessionsOpened"
    | "sessionsFailed"
    | "startFailures"
    | "refusals"
    | "commandsStarted"
    | "carried"
  >;
  /** Connections that are being served, and their limit. */
  openSessions: number;
  maxSessions: number;
  /** Detached commands that run. */
  detachedCommands: number;
  buffers: { usedBytes: number; limitBytes: number };
  process: AgentProcess;
}

/** The process of an agent; a field that is unknown is undefined. */
export interface AgentProcess {
  residentBytes: number | undefined;
  /** Of all threads, in user and kernel mode. */
  cpuSeconds: number;
  /** Seconds since 1970. */
  startTimeSeconds: number;
  openDescriptors: number | undefined;
  maxDescriptors: number | undefined;
}

/** Returns the metrics of an agent. */
export function agentMetrics(state: AgentState): Metric[] {
  const { counters, buffers, process } = state;
  const { receivedBytes, sentBytes } = counters.carried;
  const { version, commit, platform } = state;
  return [
    metric("build_info", "Version of the agent; always 1.", [
      { labels: { version, commit, platform }, value: 1 },
    ]),
    metric("sessions", "Connections that are being served.", one(state.openSessions)),
    metric("sessions_limit", "Connections that may be served at once.", one(state.maxSessions)),
    metric(
      "sessions_opened_total",
      "Connections whose handshake has succeeded.",
      one(counters.sessionsOpened),
    ),
    metric(
      "sessions_failed_total",
      "Connections that ended with an error: invalid frames, a timeout, a broken connection.",
      one(counters.sessionsFailed),
    ),
    metric(
      "refusals_total",
      "Peers that were refused: for their CID, the limit of sessions, or the token.",
      by("reason", counters.refusals),
    ),
    metric(
      "commands_started_total",
      "Commands that were started: attached, detached, or by the frames of the Go agent.",
      by("kind", counters.commandsStarted),
    ),
    metric(
      "command_start_failures_total",
      "Commands that could not be started.",
      one(counters.startFailures),
    ),
    metric("detached_commands", "Detached commands that run.", one(state.detachedCommands)),
    metric(
      "bytes_total",
      "Bytes of all connections, framing included.",
      by("direction", { to_guest: receivedBytes, from_guest: sentBytes }),
    ),
    metric("buffers_used_bytes", "Buffers of all sessions in use.", one(buffers.usedBytes)),
    metric("buffers_limit_bytes", "Limit of all buffers together.", one(buffers.limitBytes)),
    ...processMetrics(process),
  ];
}

function processMetrics(process: AgentProcess): Metric[] {
  return [
    metric(
      "process_start_time_seconds",
      "Start time of the agent in seconds since 1970.",
      one(process.startTimeSeconds),
    ),
    metric(
      "process_cpu_seconds_total",
      "Processor time of the agent, user and system.",
      one(process.cpuSeconds),
    ),
    metric(
      "process_resident_memory_bytes",
      "Resident memory of the agent.",
      one(process.residentBytes),
    ),
    metric("process_open_fds", "File descriptors that are open.", one(process.openDescriptors)),
    metric("process_max_fds", "File descriptors that may be open.", one(process.maxDescriptors)),
  ];
}

function metric(suffix: string, help: string, samples: readonly Sample[]): Metric {
  const name = `vsockbox_agent_${suffix}`;
  return { name, help, type: metricTypeOf(name), samples };
}

function one(value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ value }];
}

function by(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}
