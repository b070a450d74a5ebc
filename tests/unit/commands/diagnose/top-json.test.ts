import { expect, test } from "bun:test";
import { topJson } from "../../../../src/commands/diagnose/top-json.ts";
import { expectShape, shapeOf } from "../../../support/json-shapes.ts";
import {
  agentConnection,
  agentSample,
  deviceSample,
  session,
  vm,
  vmConnection,
} from "../../../support/top-samples.ts";

test("a device has an object for each VM, with its own connections", () => {
  const before = deviceSample(0, vm(4, 0, 0, [vmConnection()]));
  const after = deviceSample(
    2000,
    vm(4, 100, 50, [vmConnection({ bytes_to_guest: 100, bytes_from_guest: 51 })]),
    vm(4, 1, 2, [vmConnection(), vmConnection({ host_port: 3 })], { socket: "/run/other" }),
  );
  const [first, other] = topJson(after, before, "age");
  expectShape(first, shapeOf("top"));
  expect(first).toMatchObject({
    ...{ guest_cid: 4, socket: "/run/vm4.socket", vmm_connected: true, driver_ready: true },
    ...{ uptime_ms: 96_000, connections_open: 1, to_guest_bytes: 100, from_guest_bytes: 50 },
    ...{ to_guest_bytes_per_second: 50, from_guest_bytes_per_second: 25 },
  });
  expect(first?.["connections"]).toEqual([
    {
      ...{ host_port: 1024, guest_port: 5000, begun_by: "host", type: "stream", state: "open" },
      ...{ to_guest_bytes: 100, from_guest_bytes: 51, guest_free_bytes: 65_536 },
      ...{ to_guest_bytes_per_second: 50, from_guest_bytes_per_second: 26 },
      ...{ waiting_bytes: 0, age_ms: 10_000 },
    },
  ]);
  expect(other).toMatchObject({ socket: "/run/other", to_guest_bytes_per_second: null });
  expect(other?.["connections"]).toHaveLength(2);
});

test("an agent is one object", () => {
  const before = agentSample(0, {
    connections: [agentConnection(1)],
    sessions: [session("a")],
  });
  const after = agentSample(1000, {
    connections: [agentConnection(1, { receivedBytes: 10, sentBytes: 20 })],
    sessions: [session("a", { outputBytes: 30, name: "web" }), session("b")],
  });
  const objects = topJson(after, before, "id");
  expect(objects).toHaveLength(1);
  const [object] = objects;
  expectShape(object, shapeOf("top TARGET"));
  expect(object).toMatchObject({
    ...{ target: "web", version: "0.1.0", hostname: "guest", uptime_ms: 60_000 },
    ...{ load: [0.5, 0.25, 0.1], memory_total_bytes: 4 * 1024 ** 3 },
    memory_available_bytes: 3 * 1024 ** 3,
  });
  expect(object?.["connections"]).toEqual([
    {
      ...{ id: 1, peer: "vsock:2:1001", age_ms: 1000, received_bytes: 10, sent_bytes: 20 },
      ...{ received_bytes_per_second: 10, sent_bytes_per_second: 20 },
      ...{ request_count: 1, requests: ["exec job-1"] },
    },
  ]);
  expect(object?.["sessions"]).toEqual([
    {
      ...{ id: "a", name: "web", state: "running", elapsed_ms: 5000, output_bytes: 30 },
      ...{ output_bytes_per_second: 30, command: "command-of-a" },
    },
    {
      ...{ id: "b", name: null, state: "running", elapsed_ms: 5000, output_bytes: 0 },
      ...{ output_bytes_per_second: null, command: "command-of-b" },
    },
  ]);
  const old = topJson(agentSample(0, { connections: undefined }), undefined, "id");
  expect(old[0]?.["connections"]).toBeNull();
});

test("samples of different kinds have no rates", () => {
  const [object] = topJson(deviceSample(1000, vm(4, 5, 5)), agentSample(0), "id");
  expect(object?.["to_guest_bytes_per_second"]).toBeNull();
});
