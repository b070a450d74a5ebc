import { expect, test } from "bun:test";
import { readCaptureFacts, readStatus } from "../../../../src/device/observe/status-reader.ts";
import { CAPTURE_STATE, VM_STATUS } from "../../../support/vm-status.ts";

const copy = (): Record<string, never> => JSON.parse(JSON.stringify(VM_STATUS)) as never;

test("a state is read unchanged, and unknown keys are omitted", () => {
  expect(readStatus(copy())).toEqual(VM_STATUS);
  expect(readStatus({ ...copy(), more: { evil: "\u001B[2J" } })).toEqual(VM_STATUS);
  const { uds_path: _, ...rest } = VM_STATUS;
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
  expect(() => readStatus(changed(path, value))).toThrow(
    expect.objectContaining({ code: "BAD_DATA", operation: "read status" }) as Error,
  );
});

test.each([[undefined], [null], [[]], ["x"], [{}], [{ ...CAPTURE_STATE, bytes: -1 }]])(
  "%j is refused as a capture's state",
  (value) => {
    expect(() => readCaptureFacts(value)).toThrow("read status: ");
  },
);

/** Every path to a number, text or list at its limits. */
const AT_LIMITS: [path: string, value: unknown][] = [
  ["guest_cid", 0],
  ["guest_cid", 2 ** 32 - 1],
  ["forward_cid", 2 ** 32 - 1],
  ["socket", "x".repeat(4096)],
  ["features", []],
  ["features", Array.from({ length: 128 }, () => "a".repeat(40))],
  ["uptime_seconds", 0],
  ["limits.queue_entries", 0],
  ["connections_open", Number.MAX_SAFE_INTEGER],
  ["counters.kicks", 0],
  ["capture.bytes", 0],
  ["connections", []],
  ["connections.0.guest_port", 2 ** 32 - 1],
  ["connections.0.waiting_bytes", 0],
  ["connections.0.age_seconds", 0],
];

/** What is just beyond them. */
const BEYOND_LIMITS: [path: string, value: unknown, message: string][] = [
  ["guest_cid", 2 ** 32, "guest_cid is not a whole number from 0 to 4294967295"],
  ["forward_cid", 2 ** 32, "forward_cid is not a whole number from 0 to 4294967295"],
  ["socket", "x".repeat(4097), "socket is not a path"],
  ["features", ["a".repeat(41)], "features has a value that is not a name"],
  ["features", [""], "features has a value that is not a name"],
  ["features", Array.from({ length: 129 }, () => "a"), "features is not a list of at most 128"],
  ["connections_open", 2 ** 53, "connections_open is not a whole number from 0 to"],
  ["connections.0.host_port", 2 ** 32, "host_port is not a whole number from 0 to 4294967295"],
  ["connections.0.state", "ended", "state is not one of opening, open, host-ended"],
  ["connections.0", [], "a connection is not an object"],
];

/** Returns the state with another value at a path. */
function changed(path: string, value: unknown): Record<string, never> {
  const status = copy();
  const names = path.split(".");
  const last = names.pop() ?? "";
  const parent = names.reduce<object>(
    (object, name) => Reflect.get(object, name) as object,
    status,
  );
  Reflect.set(parent, last, value);
  return status;
}

test.each(AT_LIMITS)("%s may be at its limit", (path, value) => {
  const status = changed(path, value);
  expect<unknown>(readStatus(status)).toEqual(status);
});

test.each(BEYOND_LIMITS)(
  "%s may not be beyond its limit, and the error names it",
  (path, value, message) => {
    expect(() => readStatus(changed(path, value))).toThrow(message);
  },
);

test.each([null, undefined])("a state without a capture (%p) has none", (capture) => {
  expect(readStatus({ ...copy(), capture }).capture).toBe(null);
});

test("names that every object inherits are not fields of a state", () => {
  const counters = Object.create({ kicks: 5 }) as object;
  expect(readStatus({ ...copy(), counters }).counters.kicks).toBe(0);
});
