/** The metrics of VMs, over real connections. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { serveVmMetrics } from "../../../../src/device/observe/metrics-server.ts";
import type { ObservedVm } from "../../../../src/device/observe/observed-vm.ts";
import type { HttpServer } from "../../../../src/net/http.ts";
import { PROMETHEUS_TYPE } from "../../../../src/protocols/prometheus/text.ts";
import { ObservedDevice } from "../../../support/observed-device.ts";

let observed: ObservedDevice;
let vms: ObservedVm[];
let server: HttpServer;
beforeEach(() => {
  observed = new ObservedDevice();
  vms = [observed.vm];
  const endpoint = { kind: "unix", path: observed.file("metrics") } as const;
  server = serveVmMetrics(endpoint, vms);
});
afterEach(() => {
  server.close();
  observed[Symbol.dispose]();
});

const ask = (path: string, method = "GET") =>
  fetch(`http://localhost${path}`, { method, unix: observed.file("metrics") });

/** Returns the value of a metric without labels. */
function valueOf(text: string, name: string): number {
  const line = text.split("\n").find((each) => each.startsWith(`vsockbox_${name} `));
  return Number(line?.split(" ")[1]);
}

test("a scrape has the VMs of this moment", async () => {
  const response = await ask("/metrics");
  expect([response.status, response.headers.get("Content-Type")]).toEqual([200, PROMETHEUS_TYPE]);
  expect(await response.text()).toContain('cid="3"');
  vms.pop();
  expect(await (await ask("/metrics")).text()).not.toContain('cid="3"');
});

test("a scrape has the process's own time, start and memory", async () => {
  const seconds = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  const before = seconds();
  const text = await (await ask("/metrics")).text();
  const used = valueOf(text, "process_cpu_seconds_total");
  expect(used).toBeGreaterThanOrEqual(before);
  expect(used).toBeLessThanOrEqual(seconds());
  const started = valueOf(text, "process_start_time_seconds");
  expect(started).toBeCloseTo(performance.timeOrigin / 1000, 2);
  expect(valueOf(text, "process_resident_memory_bytes")).toBeGreaterThan(0);
});

test("another path is not found, and another method is refused with those that are allowed", async () => {
  expect((await ask("/")).status).toBe(404);
  const refused = await ask("/metrics", "POST");
  expect([refused.status, refused.headers.get("Allow")]).toEqual([405, "GET, HEAD"]);
});
