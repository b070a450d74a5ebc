import { expect, test } from "bun:test";
import { AgentCounters } from "../../../../src/agent/server/agent-counters.ts";
import { agentMetrics, type AgentState } from "../../../../src/agent/server/agent-metrics.ts";
import { encodeMetrics } from "../../../../src/protocols/prometheus/text.ts";

function state(): AgentState {
  const counters = new AgentCounters();
  counters.sessionsOpened = 3;
  counters.sessionsFailed = 4;
  counters.startFailures = 5;
  counters.refusals.token = 6;
  counters.commandsStarted.detached = 7;
  counters.opened({ receivedBytes: 80, sentBytes: 90 });
  return {
    ...{ version: "1.2.3", commit: "abc", platform: "linux-x64", counters },
    ...{ openSessions: 1, maxSessions: 2, detachedCommands: 10 },
    buffers: { usedBytes: 11, limitBytes: 12 },
    process: {
      residentBytes: 13,
      cpuSeconds: 0.14,
      startTimeSeconds: 15.5,
      openDescriptors: 16,
      maxDescriptors: 17,
    },
  };
}

const linesOf = (value: AgentState) =>
  encodeMetrics(agentMetrics(value))
    .trimEnd()
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.replace("vsockbox_agent_", ""));

test("each count of an agent is in its metrics", () => {
  expect(linesOf(state())).toEqual([
    'build_info{version="1.2.3",commit="abc",platform="linux-x64"} 1',
    "sessions 1",
    "sessions_limit 2",
    "sessions_opened_total 3",
    "sessions_failed_total 4",
    'refusals_total{reason="cid"} 0',
    'refusals_total{reason="sessions"} 0',
    'refusals_total{reason="token"} 6',
    'commands_started_total{kind="attached"} 0',
    'commands_started_total{kind="detached"} 7',
    'commands_started_total{kind="go"} 0',
    "command_start_failures_total 5",
    "detached_commands 10",
    'bytes_total{direction="to_guest"} 80',
    'bytes_total{direction="from_guest"} 90',
    "buffers_used_bytes 11",
    "buffers_limit_bytes 12",
    "process_start_time_seconds 15.5",
    "process_cpu_seconds_total 0.14",
    "process_resident_memory_bytes 13",
    "process_open_fds 16",
    "process_max_fds 17",
  ]);
});

test("metrics that are unknown without /proc are omitted", () => {
  const { process, ...rest } = state();
  const unknown = {
    residentBytes: undefined,
    openDescriptors: undefined,
    maxDescriptors: undefined,
  };
  const lines = linesOf({ ...rest, process: { ...process, ...unknown } });
  expect(lines.slice(-2)).toEqual([
    "process_start_time_seconds 15.5",
    "process_cpu_seconds_total 0.14",
  ]);
});
