import { describe, expect, test } from "bun:test";
import {
  type FileSystemState,
  guestMetrics,
  MAX_DEVICES,
  PROC_FILES,
  type ProcFile,
} from "../../../../src/agent/server/guest-metrics.ts";
import {
  decodeMetricRecord,
  encodeMetricRecord,
} from "../../../../src/protocols/agent/metric-records.ts";
import { encodeMetrics } from "../../../../src/protocols/prometheus/text.ts";

const TEXTS: Readonly<Record<ProcFile, string>> = {
  stat: "cpu  100 200 300 400 500 600 700 800 1 2\ncpu0 1\ncpu1 1\nintr 11 1\nctxt 12\nbtime 13\nprocesses 14\nprocs_running 15\nprocs_blocked 16\n",
  meminfo:
    "MemTotal: 10 kB\nMemFree: 11 kB\nMemAvailable: 12 kB\nBuffers: 13 kB\nCached: 14 kB\nShmem: 15 kB\nDirty: 16 kB\nSwapTotal: 17 kB\nSwapFree: 18 kB\n",
  vmstat: "pgmajfault 21\noom_kill 22\n",
  loadavg: "0.25 0.5 0.75 1/2 3\n",
  uptime: "31.5 32.5\n",
  diskstats: " 254 0 vda 41 0 42 43000 44 0 45 46000 47 48000 0\n",
  "net/dev": "  eth0: 51 52 53 54 0 0 0 0 55 56 57 58 0 0 0 0\n",
  "pressure/cpu": "some avg10=0 avg60=0 avg300=0 total=61000000\n",
  "pressure/memory": "some total=62000000\nfull total=63000000\n",
  "pressure/io": "full total=64000000\n",
};

const ROOT: FileSystemState = {
  path: "/",
  type: "ext4",
  source: "/dev/vda",
  isReadOnly: false,
  usage: { sizeBytes: 71, freeBytes: 72, availableBytes: 73, files: 74, freeFiles: 75 },
};

function samplesOf(
  texts: Partial<Record<ProcFile, string>>,
  fileSystems: readonly FileSystemState[] = [],
): string[] {
  const proc = new Map(
    PROC_FILES.flatMap((file) => (file in texts ? [[file, texts[file] ?? ""] as const] : [])),
  );
  return encodeMetrics(guestMetrics({ proc, fileSystems, nowMs: 1500 }))
    .trimEnd()
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.replace("vsockbox_guest_", ""));
}

describe("the metrics of a guest", () => {
  test("have everything that the kernel shows, in base units", () => {
    const disk = 'device="vda"';
    const root = 'mountpoint="/",fstype="ext4",device="/dev/vda"';
    expect(samplesOf(TEXTS, [ROOT])).toEqual([
      "time_seconds 1.5",
      "uptime_seconds 31.5",
      ...["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"].map(
        (mode, index) => `cpu_seconds_total{mode="${mode}"} ${index + 1}`,
      ),
      ...["cpus 2", "boot_time_seconds 13", "context_switches_total 12", "interrupts_total 11"],
      ...["forks_total 14", "processes_running 15", "processes_blocked 16"],
      ...["load1 0.25", "load5 0.5", "load15 0.75"],
      ...["memory_total_bytes 10240", "memory_free_bytes 11264", "memory_available_bytes 12288"],
      ...["memory_buffers_bytes 13312", "memory_cached_bytes 14336", "memory_shared_bytes 15360"],
      ...["memory_dirty_bytes 16384", "swap_total_bytes 17408", "swap_free_bytes 18432"],
      ...["major_page_faults_total 21", "oom_kills_total 22"],
      'pressure_seconds_total{resource="cpu",share="some"} 61',
      'pressure_seconds_total{resource="memory",share="some"} 62',
      'pressure_seconds_total{resource="memory",share="full"} 63',
      'pressure_seconds_total{resource="io",share="full"} 64',
      `disk_reads_total{${disk}} 41`,
      `disk_read_bytes_total{${disk}} ${42 * 512}`,
      `disk_read_seconds_total{${disk}} 43`,
      `disk_writes_total{${disk}} 44`,
      `disk_written_bytes_total{${disk}} ${45 * 512}`,
      `disk_write_seconds_total{${disk}} 46`,
      `disk_busy_seconds_total{${disk}} 48`,
      `disk_requests{${disk}} 47`,
      `filesystem_size_bytes{${root}} 71`,
      `filesystem_free_bytes{${root}} 72`,
      `filesystem_available_bytes{${root}} 73`,
      `filesystem_files{${root}} 74`,
      `filesystem_files_free{${root}} 75`,
      `filesystem_read_only{${root}} 0`,
      `filesystem_error{${root}} 0`,
      ...["bytes 51 55", "packets 52 56", "errors 53 57", "drops 54 58"].flatMap((text) => {
        const [name, received, sent] = text.split(" ");
        return [
          `network_${name}_total{device="eth0",direction="received"} ${received}`,
          `network_${name}_total{device="eth0",direction="sent"} ${sent}`,
        ];
      }),
    ]);
  });

  test("have only the clock without /proc", () => {
    expect(samplesOf({})).toEqual(["time_seconds 1.5"]);
    const garbage = Object.fromEntries(PROC_FILES.map((file) => [file, "\0\ufffd 1: x\n\n{}"]));
    expect(samplesOf(garbage)).toEqual(["time_seconds 1.5"]);
  });

  test("have no network without an interface but the loopback", () => {
    const text = "    lo: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n";
    expect(samplesOf({ "net/dev": text })).toEqual(["time_seconds 1.5"]);
  });

  test("show a file system without an answer, and a read-only one", () => {
    const labels = 'mountpoint="/",fstype="ext4",device="/dev/vda"';
    expect(samplesOf({}, [{ ...ROOT, isReadOnly: true, usage: undefined }])).toEqual([
      "time_seconds 1.5",
      `filesystem_read_only{${labels}} 1`,
      `filesystem_error{${labels}} 1`,
    ]);
  });

  test("have names of users as printable labels of limited length", () => {
    const path = `/a\n"b\\${"x".repeat(300)}`;
    const [, line = ""] = samplesOf({}, [{ ...ROOT, path }]);
    expect(line).toStartWith('filesystem_size_bytes{mountpoint="/a\\\\n\\"b\\\\xxx');
    expect(line.length).toBeLessThan(400);
  });

  test("have at most 64 devices of a kind", () => {
    const names = Array.from({ length: MAX_DEVICES + 1 }, (_, index) => index);
    const lines = samplesOf(
      {
        diskstats: names.map((name) => `1 0 dm-${name} 1 1 1 1 1 1 1 1 1 1 1`).join("\n"),
        "net/dev": names.map((name) => `e${name}: ${"1 ".repeat(16)}`).join("\n"),
      },
      names.map((name) => Object.assign({}, ROOT, { path: `/${name}` })),
    );
    const count = (start: string) => lines.filter((line) => line.startsWith(start)).length;
    expect(count("disk_reads_total")).toBe(MAX_DEVICES);
    expect(count("filesystem_error")).toBe(MAX_DEVICES);
    expect(count("network_bytes_total")).toBe(2 * MAX_DEVICES);
  });

  test("pass the check that the host makes of a guest's answer", () => {
    const proc = new Map(PROC_FILES.map((file) => [file, TEXTS[file]]));
    const metrics = guestMetrics({ proc, fileSystems: [ROOT], nowMs: 1500 });
    const read = metrics.map((metric) =>
      decodeMetricRecord(
        JSON.parse(JSON.stringify(encodeMetricRecord(metric))) as Record<string, unknown>,
      ),
    );
    expect(encodeMetrics(read)).toBe(encodeMetrics(metrics));
  });
});
