import { expect, test } from "bun:test";
import { metricsText } from "../../../../src/device/observe/metrics.ts";
import type { VmCounters, VmFacts } from "../../../../src/device/observe/status.ts";
import { statusLines } from "../../../../src/device/observe/status-text.ts";

const COUNTERS: VmCounters = {
  opened_by_host: 1,
  opened_by_guest: 2,
  refused_by_host: 3,
  refused_by_guest: 4,
  resets_to_guest: 5,
  resets_from_guest: 6,
  packets_to_guest: 7,
  packets_from_guest: 8,
  packets_to_siblings: 9,
  bytes_to_guest: 10,
  bytes_from_guest: 11,
  credit_starved: 12,
  interrupts: 13,
  kicks: 14,
  vmms_connected: 15,
  vmms_dropped: 16,
  clients_dropped: 17,
  clients_refused: 18,
  capture_packets_lost: 19,
  single_descriptor_to_guest: 20,
  single_descriptor_from_guest: 21,
  bytes_lost: 22,
  connect_timeouts: 23,
};

const vm = (cid: number): VmFacts => ({
  guest_cid: cid,
  socket: "/run/v.socket",
  uds_path: "/run/v.vsock",
  vmm_connected: true,
  driver_ready: false,
  features: ["version_1"],
  uptime_seconds: 1,
  limits: { connections: 1023, tx_buffer_bytes: 65_536, queue_entries: 1024 },
  connections_open: 20,
  connections_draining: 24,
  sibling_connections: 21,
  pending_clients: 22,
  counters: COUNTERS,
  capture: null,
});

const PROCESS = {
  version: "1.2.3",
  commit: "abc",
  target: "linux-x64",
  residentBytes: 1000,
  cpuSeconds: 0.5,
  startedAt: 1_700_000_000.5,
};

test("every counter of every VM is in the metrics, once", () => {
  const text = metricsText([vm(3), vm(4)], PROCESS);
  for (const cid of [3, 4]) {
    const values = [...text.matchAll(new RegExp(`^\\w+_total\\{cid="${cid}".*\\} (\\d+)$`, "gm"))];
    const numbers = values.map(([, value]) => Number(value)).sort((a, b) => a - b);
    expect(numbers).toEqual(Object.values(COUNTERS));
    expect(text).toContain(`vsockbox_connections{cid="${cid}"} 20\n`);
    expect(text).toContain(`vsockbox_driver_ready{cid="${cid}"} 0\n`);
  }
  expect(text).toContain(
    'vsockbox_build_info{version="1.2.3",commit="abc",target="linux-x64"} 1\n',
  );
  expect(text).toContain("vsockbox_process_cpu_seconds_total 0.5\n");
});

test("the text is one that Prometheus reads", () => {
  const lines = metricsText([vm(3)], PROCESS)
    .trimEnd()
    .split("\n");
  const seen = new Set<string>();
  let current = "";
  for (const line of lines) {
    const [, kind, name = ""] = /^# (HELP|TYPE) (\w+) \S/.exec(line) ?? [];
    if (kind === "HELP") {
      expect([name, seen.has(name)]).toEqual([expect.stringMatching(/^vsockbox_/), false]);
      seen.add((current = name));
    } else if (kind === "TYPE") expect(name).toBe(current);
    else
      expect(line).toMatch(new RegExp(`^${current}(\\{\\w+="[^"]*"(,\\w+="[^"]*")*\\})? [\\d.]+$`));
  }
});

test("the lines for people have a table if there are connections", () => {
  const connection = {
    host_port: 1_073_741_824,
    guest_port: 52,
    begun_by: "host",
    type: "stream",
    state: "open",
    bytes_to_guest: 2048,
    bytes_from_guest: 5,
    guest_free_bytes: 65_536,
    waiting_bytes: 0,
    age_seconds: 61,
  } as const;
  const idle = statusLines({ ...vm(3), connections: [] });
  expect(idle[0]).toBe("VM 3: VMM connected (16 dropped), no driver yet, up 0:01");
  const lines = statusLines({ ...vm(3), connections: [connection] });
  expect(lines.slice(0, idle.length)).toEqual(idle);
  expect(lines.at(-2)?.trim().split(/ {2,}/)).toEqual([
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
  ]);
  expect(lines.at(-1)?.trim().split(/ {2,}/)).toEqual([
    "1073741824",
    "52",
    "host",
    "stream",
    "open",
    "2.0 KiB",
    "5 B",
    "64 KiB",
    "0 B",
    "1:01",
  ]);
});
