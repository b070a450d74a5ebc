/** Where `vsockbox top` takes its samples: devices by their control sockets, or an agent. */
import type { AgentClient } from "../../agent/client/agent-client.ts";
import {
  type ConnectionRecord,
  decodeConnectionRecord,
} from "../../protocols/agent/connection-records.ts";
import { CONNECTIONS_FEATURE } from "../../protocols/agent/hello.ts";
import {
  field,
  type JsonObject,
  numberField,
  textField,
} from "../../protocols/agent/json-fields.ts";
import { collectStatuses } from "../shared/vm-statuses.ts";
import type { SampledAgent, AgentSample, DeviceSample, SessionFacts } from "./top-samples.ts";

/** Most connections and sessions of an agent that are read; an agent has 1,024 by default at most. */
const MAX_ENTRIES = 4096;

const MS_PER_SECOND = 1000;

/**
 * Samples VMs of hybrid-proxy.
 *
 * @throws {VsockboxError} as `collectStatuses`.
 */
export async function sampleDevices(paths: readonly string[]): Promise<DeviceSample> {
  const { vms, silent } = await collectStatuses(paths);
  return { kind: "device", takenAtMs: performance.now(), vms, silentCount: silent.length };
}

/**
 * Samples an agent.
 *
 * @throws {VsockboxError} the agent's error, BAD_DATA, TRANSPORT.
 */
export async function sampleAgent(client: AgentClient, target: string): Promise<AgentSample> {
  const [info, connections, { sessions }] = await Promise.all([
    client.request({ op: "info" }),
    readConnections(client),
    client.request({ op: "sessions" }),
  ]);
  const list: unknown[] = Array.isArray(sessions) ? sessions.slice(0, MAX_ENTRIES) : [];
  const nowMs = numberField(field(info, "machine"), "timeMs", Date.now());
  return {
    kind: "agent",
    takenAtMs: performance.now(),
    target,
    facts: sampledAgent(info),
    connections,
    sessions: list.map((session) => sessionFacts(session, nowMs)),
  };
}

async function readConnections(client: AgentClient): Promise<ConnectionRecord[] | undefined> {
  if (!client.hello.features.includes(CONNECTIONS_FEATURE)) return undefined;
  const connections: ConnectionRecord[] = [];
  for await (const record of client.records({ op: "connections" })) {
    connections.push(decodeConnectionRecord(record));
    // An agent may list them without end.
    if (connections.length === MAX_ENTRIES) break;
  }
  return connections;
}

/** Reads the answer to `info`. */
export function sampledAgent(info: JsonObject): SampledAgent {
  const guest = field(info, "machine");
  const load =
    typeof guest === "object" && guest !== null ? field(guest as JsonObject, "load") : [];
  const memory =
    typeof guest === "object" && guest !== null ? field(guest as JsonObject, "memory") : undefined;
  return {
    version: textField(info, "version"),
    hostname: textField(guest, "hostname"),
    uptimeMs: numberField(info, "uptime") * MS_PER_SECOND,
    load: Array.isArray(load) ? load.filter((value) => typeof value === "number") : [],
    memoryTotalBytes: numberField(memory, "total"),
    memoryAvailableBytes: numberField(memory, "available"),
  };
}

/**
 * Reads a session of the answer to `sessions`.
 *
 * @param nowMs the guest's clock, in milliseconds since 1970.
 */
export function sessionFacts(session: unknown, nowMs: number): SessionFacts {
  const exit = textField(session, "signal", "") || textField(session, "exit_code", "");
  const output =
    typeof session === "object" && session !== null
      ? field(session as JsonObject, "output")
      : undefined;
  const startedMs = numberField(session, "startedMs", nowMs);
  return {
    id: textField(session, "id"),
    name: textField(session, "name", ""),
    pid: textField(session, "pid"),
    state: exit === "" ? textField(session, "state") : `ended (${exit})`,
    elapsedMs: Math.max(0, numberField(session, "endedMs", nowMs) - startedMs),
    outputBytes: numberField(output, "to"),
    command: textField(session, "command"),
  };
}
