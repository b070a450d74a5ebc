import { expect, test } from "bun:test";
import type { VmStatus } from "../../../../src/device/observe/status.ts";
import { readCaptureFacts, readStatus } from "../../../../src/device/observe/status-reader.ts";

const CAPTURE = { file: "/x.pcap", payload_bytes: 256, packets: 1, bytes: 2, packets_lost: 3 };

const STATUS: VmStatus = {
  guest_cid: 3,
  socket: "/run/v.socket",
  uds_path: "/run/v.vsock",
  vmm_connected: true,
  driver_ready: false,
  features: ["version_1", "bit_40"],
  uptime_seconds: 1.5,
  limits: { connections: 1023, tx_buffer_bytes: 65_536, queue_entries: 1024 },
  connections_open: 20,
  connections_draining: 24,
  sibling_connections: 21,
  pending_clients: 22,
  counters: {
    opened_by_host: 1,
    opened_by_guest: 2,
    refused_by_host: 3,
    refused_by_guest: 4,
    resets_to_guest: 5,
    resets_from_guest: 6,
    packets_to_guest: 7,
    packets_from_guest: 8,
    packets_to_siblings: 9,
    single_descriptor_to_guest: 20,
    single_descriptor_from_guest: 21,
    bytes_to_guest: 10,
    bytes_from_guest: 11,
    bytes_lost: 22,
    credit_starved: 12,
    interrupts: 13,
    kicks: 14,
    vmms_connected: 15,
    vmms_dropped: 16,
    clients_dropped: 17,
    clients_refused: 18,
    connect_timeouts: 23,
    capture_packets_lost: 19,
  },
  capture: CAPTURE,
  connections: [
    {
      host_port: 2 ** 30,
      guest_port: 5000,
      begun_by: "host",
      type: "stream",
      state: "host-ended",
      bytes_to_guest: 1,
      bytes_from_guest: 2,
      guest_free_bytes: 3,
      waiting_bytes: 4,
      age_seconds: 0.25,
    },
  ],
};

const copy = (): Record<string, never> => JSON.parse(JSON.stringify(STATUS)) as never;

test("a state is read unchanged, and unknown keys are omitted", () => {
  expect(readStatus(copy())).toEqual(STATUS);
  expect(readStatus({ ...copy(), more: { evil: "\u001B[2J" } })).toEqual(STATUS);
  const { uds_path: _, ...rest } = STATUS;
  const forward = { ...rest, forward_cid: 1, capture: null };
  expect(readStatus(JSON.parse(JSON.stringify(forward)))).toEqual(forward);
});

test("one of a version without the newer counters is read", () => {
  const { connections_draining: _, ...older } = copy();
  const counters = { packets_to_guest: 7 };
  const read = readStatus({ ...older, counters });
  expect([read.connections_draining, read.counters.bytes_lost]).toEqual([0, 0]);
  expect(read.counters.packets_to_guest).toBe(7);
});

/** Every path to a value, and what may not be there. */
const WRONG: [path: string, value: unknown][] = [
  ["guest_cid", "3"],
  ["guest_cid", 2 ** 32],
  ["guest_cid", -1],
  ["guest_cid", undefined],
  ["socket", 1],
  ["socket", "x".repeat(5000)],
  ["socket", undefined],
  ["uds_path", []],
  ["forward_cid", "1"],
  ["vmm_connected", 1],
  ["driver_ready", "no"],
  ["features", "version_1"],
  ["features", ["\u001B[2J"]],
  ["features", [1]],
  ["features", Array.from({ length: 200 }, () => "a")],
  ["uptime_seconds", "long"],
  ["uptime_seconds", -1],
  ["limits", null],
  ["limits.connections", 1.5],
  ["limits.tx_buffer_bytes", 2 ** 60],
  ["limits.queue_entries", undefined],
  ["connections_open", "20"],
  ["connections_draining", {}],
  ["sibling_connections", null],
  ["pending_clients", -1],
  ["counters", []],
  ["counters.kicks", "14"],
  ["counters.bytes_lost", -1],
  ["capture", "x"],
  ["capture.file", 7],
  ["capture.packets", "1"],
  ["connections", {}],
  ["connections.0", "x"],
  ["connections.0.host_port", 2 ** 32],
  ["connections.0.begun_by", "nobody"],
  ["connections.0.type", "toString"],
  ["connections.0.state", 1],
  ["connections.0.bytes_to_guest", "1"],
  ["connections.0.age_seconds", -0.5],
];

test.each(WRONG)("%s may not be %j", (path, value) => {
  const status = copy();
  const names = path.split(".");
  const last = names.pop() ?? "";
  const parent = names.reduce<object>(
    (object, name) => Reflect.get(object, name) as object,
    status,
  );
  Reflect.set(parent, last, value);
  expect(() => readStatus(status)).toThrow(
    expect.objectContaining({ code: "BAD_DATA", operation: "read status" }) as Error,
  );
});

test.each([[undefined], [null], [[]], ["x"], [{}], [{ ...CAPTURE, bytes: -1 }]])(
  "%j is refused as a capture's state",
  (value) => {
    expect(() => readCaptureFacts(value)).toThrow("read status: ");
  },
);
