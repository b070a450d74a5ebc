/**
 * Reads the state of a VM from the response of another process: each field has a type and a limit, and
 * unknown fields are ignored. A process of another version may lack counters, which are 0 then.
 */
import { VsockboxError } from "../../errors.ts";
import type { CaptureFacts } from "./capture.ts";
import type { ConnectionStatus, VmCounters, VmStatus } from "./status.ts";

/** Longest path, in UTF-16 units: PATH_MAX of Linux. */
const MAX_PATH = 4096;

/** Limit of a virtio device's features. */
const MAX_FEATURES = 128;

const U32_MAX = 0xffff_ffff;

type JsonObject = Record<string, unknown>;

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read status", message });
}

function objectOf(name: string, value: unknown): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as JsonObject;
  }
  throw bad(`${name} is not an object`);
}

function listOf(name: string, value: unknown, most: number): unknown[] {
  if (Array.isArray(value) && value.length <= most) return value;
  throw bad(`${name} is not a list of at most ${most} entries`);
}

const get = (object: JsonObject, name: string): unknown =>
  Object.hasOwn(object, name) ? object[name] : undefined;

function count(object: JsonObject, name: string, most: number = Number.MAX_SAFE_INTEGER): number {
  const value = get(object, name);
  if (Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= most) {
    return Number(value);
  }
  throw bad(`${name} is not a whole number from 0 to ${most}`);
}

const countOrZero = (object: JsonObject, name: string): number =>
  get(object, name) === undefined ? 0 : count(object, name);

function seconds(object: JsonObject, name: string): number {
  const value = get(object, name);
  if (typeof value === "number" && value >= 0) return value;
  throw bad(`${name} is not a number of seconds`);
}

function flag(object: JsonObject, name: string): boolean {
  const value = get(object, name);
  if (typeof value === "boolean") return value;
  throw bad(`${name} is neither true nor false`);
}

function path(object: JsonObject, name: string): string {
  const value = get(object, name);
  if (typeof value === "string" && value.length <= MAX_PATH) return value;
  throw bad(`${name} is not a path`);
}

function oneOf<T extends string>(object: JsonObject, name: string, choices: readonly T[]): T {
  const value = get(object, name);
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw bad(`${name} is not one of ${choices.join(", ")}`);
}

function featureOf(value: unknown): string {
  if (typeof value === "string" && /^[a-z0-9_]{1,40}$/.test(value)) return value;
  throw bad("features has a value that is not a name");
}

function readConnection(value: unknown): ConnectionStatus {
  const object = objectOf("a connection", value);
  return {
    host_port: count(object, "host_port", U32_MAX),
    guest_port: count(object, "guest_port", U32_MAX),
    begun_by: oneOf(object, "begun_by", ["host", "guest"]),
    type: oneOf(object, "type", ["stream", "seqpacket"]),
    state: oneOf(object, "state", ["opening", "open", "host-ended", "guest-ended", "closing"]),
    bytes_to_guest: count(object, "bytes_to_guest"),
    bytes_from_guest: count(object, "bytes_from_guest"),
    guest_free_bytes: count(object, "guest_free_bytes"),
    waiting_bytes: count(object, "waiting_bytes"),
    age_seconds: seconds(object, "age_seconds"),
  };
}

function readCounters(value: unknown): VmCounters {
  const object = objectOf("counters", value);
  const number = (name: keyof VmCounters) => countOrZero(object, name);
  return {
    opened_by_host: number("opened_by_host"),
    opened_by_guest: number("opened_by_guest"),
    refused_by_host: number("refused_by_host"),
    refused_by_guest: number("refused_by_guest"),
    resets_to_guest: number("resets_to_guest"),
    resets_from_guest: number("resets_from_guest"),
    packets_to_guest: number("packets_to_guest"),
    packets_from_guest: number("packets_from_guest"),
    packets_to_siblings: number("packets_to_siblings"),
    single_descriptor_to_guest: number("single_descriptor_to_guest"),
    single_descriptor_from_guest: number("single_descriptor_from_guest"),
    bytes_to_guest: number("bytes_to_guest"),
    bytes_from_guest: number("bytes_from_guest"),
    bytes_lost: number("bytes_lost"),
    credit_starved: number("credit_starved"),
    interrupts: number("interrupts"),
    kicks: number("kicks"),
    vmms_connected: number("vmms_connected"),
    vmms_dropped: number("vmms_dropped"),
    clients_dropped: number("clients_dropped"),
    clients_refused: number("clients_refused"),
    connect_timeouts: number("connect_timeouts"),
    capture_packets_lost: number("capture_packets_lost"),
  };
}

/**
 * Reads a capture's state.
 *
 * @throws {VsockboxError} BAD_DATA, naming the field.
 */
export function readCaptureFacts(value: unknown): CaptureFacts {
  const object = objectOf("the capture", value);
  return {
    file: path(object, "file"),
    payload_bytes: count(object, "payload_bytes"),
    packets: count(object, "packets"),
    bytes: count(object, "bytes"),
    packets_lost: count(object, "packets_lost"),
  };
}

/**
 * Reads the state of a VM.
 *
 * @throws {VsockboxError} BAD_DATA, naming the field.
 */
export function readStatus(value: unknown): VmStatus {
  const object = objectOf("the status", value);
  const limits = objectOf("limits", get(object, "limits"));
  const connections = listOf("connections", get(object, "connections"), Infinity);
  const capture = get(object, "capture");
  return {
    guest_cid: count(object, "guest_cid", U32_MAX),
    socket: path(object, "socket"),
    ...(get(object, "uds_path") === undefined ? {} : { uds_path: path(object, "uds_path") }),
    ...(get(object, "forward_cid") === undefined
      ? {}
      : { forward_cid: count(object, "forward_cid", U32_MAX) }),
    vmm_connected: flag(object, "vmm_connected"),
    driver_ready: flag(object, "driver_ready"),
    features: listOf("features", get(object, "features"), MAX_FEATURES).map(featureOf),
    uptime_seconds: seconds(object, "uptime_seconds"),
    limits: {
      connections: count(limits, "connections"),
      tx_buffer_bytes: count(limits, "tx_buffer_bytes"),
      queue_entries: count(limits, "queue_entries"),
    },
    connections_open: count(object, "connections_open"),
    connections_draining: countOrZero(object, "connections_draining"),
    sibling_connections: count(object, "sibling_connections"),
    pending_clients: count(object, "pending_clients"),
    counters: readCounters(get(object, "counters")),
    capture: capture === null || capture === undefined ? null : readCaptureFacts(capture),
    connections: connections.map(readConnection),
  };
}
