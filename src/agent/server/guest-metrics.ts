/** Metrics of the guest, from the texts of proc(5) and the state of its file systems. Pure. */
import {
  type DiskStatistics,
  parseDiskStatistics,
} from "../../protocols/procfs/disk-statistics.ts";
import { MAX_TEXT_LENGTH } from "../../protocols/agent/metric-records.ts";
import { CPU_MODES, parseKernelStatistics } from "../../protocols/procfs/kernel-statistics.ts";
import { parseLoad, parseUptime } from "../../protocols/procfs/load.ts";
import {
  type NetworkDevice,
  parseNetworkDevices,
  type TrafficCounts,
} from "../../protocols/procfs/network-devices.ts";
import { parseNamedNumbers } from "../../protocols/procfs/numbers.ts";
import { parsePressure } from "../../protocols/procfs/pressure.ts";
import { type Metric, metricTypeOf, type Sample } from "../../protocols/prometheus/text.ts";
import { printable } from "../../text/printable.ts";

/** Disks, network interfaces and file systems that have samples; further ones are left out. */
export const MAX_DEVICES = 64;

/** Files below /proc that {@link guestMetrics} reads. */
export const PROC_FILES = [
  ...["stat", "meminfo", "vmstat", "loadavg", "uptime", "diskstats", "net/dev"],
  ...["pressure/cpu", "pressure/memory", "pressure/io"],
] as const;

/** One of {@link PROC_FILES}. */
export type ProcFile = (typeof PROC_FILES)[number];

/** A mounted file system. */
export interface FileSystemState {
  path: string;
  type: string;
  /** Source of the mount, such as `/dev/vda`. */
  source: string;
  isReadOnly: boolean;
  /** Undefined if the file system has not answered, or refused. */
  usage: FileSystemUsage | undefined;
}

/** Space and inodes of a file system, as statvfs(3) has them. */
export interface FileSystemUsage {
  sizeBytes: number;
  freeBytes: number;
  /** For users other than root. */
  availableBytes: number;
  files: number;
  freeFiles: number;
}

/** What the metrics of a guest are made of. */
export interface GuestSources {
  /** Texts of files below /proc; one that could not be read is missing. */
  proc: ReadonlyMap<ProcFile, string>;
  fileSystems: readonly FileSystemState[];
  /** The guest's clock, in milliseconds since 1970. */
  nowMs: number;
}

/** Returns the metrics of a guest; what its kernel does not have is left out. */
export function guestMetrics(sources: GuestSources): Metric[] {
  const text = (file: ProcFile) => sources.proc.get(file) ?? "";
  return [
    metric("time_seconds", "The guest's clock in seconds since 1970.", one(sources.nowMs / 1000)),
    metric("uptime_seconds", "Time since the boot.", one(parseUptime(text("uptime")))),
    ...kernelMetrics(text("stat")),
    ...loadMetrics(text("loadavg")),
    ...memoryMetrics(parseNamedNumbers(text("meminfo")), parseNamedNumbers(text("vmstat"))),
    pressureMetric(text),
    ...diskMetrics(parseDiskStatistics(text("diskstats")).slice(0, MAX_DEVICES)),
    ...fileSystemMetrics(sources.fileSystems.slice(0, MAX_DEVICES)),
    ...networkMetrics(parseNetworkDevices(text("net/dev")).slice(0, MAX_DEVICES)),
  ];
}

function kernelMetrics(text: string): Metric[] {
  const found = parseKernelStatistics(text);
  const modes = found.cpuSeconds.map((value, index) => ({
    labels: { mode: CPU_MODES[index] ?? "" },
    value,
  }));
  return [
    metric("cpu_seconds_total", "Time of all processors by mode.", modes),
    metric("cpus", "Processors that are online.", one(found.cpus || undefined)),
    metric(
      "boot_time_seconds",
      "Time of the boot in seconds since 1970.",
      one(found.bootTimeSeconds),
    ),
    metric("context_switches_total", "Context switches.", one(found.contextSwitches)),
    metric("interrupts_total", "Interrupts.", one(found.interrupts)),
    metric("forks_total", "Processes and threads that were started.", one(found.forks)),
    metric("processes_running", "Threads that run or could run.", one(found.runningProcesses)),
    metric("processes_blocked", "Threads that wait for a disk.", one(found.blockedProcesses)),
  ];
}

function loadMetrics(text: string): Metric[] {
  const [in1, in5, in15] = parseLoad(text) ?? [];
  return [
    metric("load1", "Mean number of runnable threads in 1 minute.", one(in1)),
    metric("load5", "Mean number of runnable threads in 5 minutes.", one(in5)),
    metric("load15", "Mean number of runnable threads in 15 minutes.", one(in15)),
  ];
}

type Numbers = ReadonlyMap<string, number>;

function memoryMetrics(memory: Numbers, events: Numbers): Metric[] {
  return [
    metric("memory_total_bytes", "Memory that the kernel can use.", one(memory.get("MemTotal"))),
    metric("memory_free_bytes", "Memory that is not used at all.", one(memory.get("MemFree"))),
    metric(
      "memory_available_bytes",
      "Memory that programs can have without swapping.",
      one(memory.get("MemAvailable")),
    ),
    metric("memory_buffers_bytes", "Buffers of block devices.", one(memory.get("Buffers"))),
    metric("memory_cached_bytes", "Cached files, with those of tmpfs.", one(memory.get("Cached"))),
    metric("memory_shared_bytes", "Files of tmpfs and shared memory.", one(memory.get("Shmem"))),
    metric("memory_dirty_bytes", "Changes that are not on a disk yet.", one(memory.get("Dirty"))),
    metric("swap_total_bytes", "Swap space.", one(memory.get("SwapTotal"))),
    metric("swap_free_bytes", "Swap space that is free.", one(memory.get("SwapFree"))),
    metric(
      "major_page_faults_total",
      "Page faults that had to read from a disk.",
      one(events.get("pgmajfault")),
    ),
    metric(
      "oom_kills_total",
      "Processes that were killed for lack of memory.",
      one(events.get("oom_kill")),
    ),
  ];
}

function pressureMetric(text: (file: ProcFile) => string): Metric {
  const samples = (["cpu", "memory", "io"] as const).flatMap((resource) => {
    const { someSeconds, fullSeconds } = parsePressure(text(`pressure/${resource}`));
    const shares = Object.entries({ some: someSeconds, full: fullSeconds });
    return shares.flatMap(([share, value]): Sample[] =>
      value === undefined ? [] : [{ labels: { resource, share }, value }],
    );
  });
  return metric(
    "pressure_seconds_total",
    "Time in which some threads, or all of them (full), waited for a resource.",
    samples,
  );
}

function diskMetrics(disks: readonly DiskStatistics[]): Metric[] {
  const each = (value: (disk: DiskStatistics) => number): Sample[] =>
    disks.map((disk) => ({ labels: { device: shown(disk.device) }, value: value(disk) }));
  return [
    metric(
      "disk_reads_total",
      "Reads that have completed.",
      each((disk) => disk.readsCompleted),
    ),
    metric(
      "disk_read_bytes_total",
      "Bytes that were read.",
      each((disk) => disk.readBytes),
    ),
    metric(
      "disk_read_seconds_total",
      "Time of all reads.",
      each((disk) => disk.readSeconds),
    ),
    metric(
      "disk_writes_total",
      "Writes that have completed.",
      each((disk) => disk.writesCompleted),
    ),
    metric(
      "disk_written_bytes_total",
      "Bytes that were written.",
      each((disk) => disk.writtenBytes),
    ),
    metric(
      "disk_write_seconds_total",
      "Time of all writes.",
      each((disk) => disk.writeSeconds),
    ),
    metric(
      "disk_busy_seconds_total",
      "Time with at least one request in progress.",
      each((disk) => disk.busySeconds),
    ),
    metric(
      "disk_requests",
      "Requests that are in progress.",
      each((disk) => disk.inProgress),
    ),
  ];
}

function fileSystemMetrics(fileSystems: readonly FileSystemState[]): Metric[] {
  const labelsOf = ({ path, type, source }: FileSystemState) => ({
    mountpoint: shown(path),
    fstype: shown(type),
    device: shown(source),
  });
  const all = (value: (state: FileSystemState) => number): Sample[] =>
    fileSystems.map((state) => ({ labels: labelsOf(state), value: value(state) }));
  const each = (value: (usage: FileSystemUsage) => number): Sample[] =>
    fileSystems.flatMap((state) =>
      state.usage === undefined ? [] : [{ labels: labelsOf(state), value: value(state.usage) }],
    );
  return [
    metric(
      "filesystem_size_bytes",
      "Size of a file system.",
      each((usage) => usage.sizeBytes),
    ),
    metric(
      "filesystem_free_bytes",
      "Free space.",
      each((usage) => usage.freeBytes),
    ),
    metric(
      "filesystem_available_bytes",
      "Free space for users other than root.",
      each((usage) => usage.availableBytes),
    ),
    metric(
      "filesystem_files",
      "Inodes of a file system.",
      each((usage) => usage.files),
    ),
    metric(
      "filesystem_files_free",
      "Free inodes.",
      each((usage) => usage.freeFiles),
    ),
    metric(
      "filesystem_read_only",
      "Whether it is read-only.",
      all((state) => Number(state.isReadOnly)),
    ),
    metric(
      "filesystem_error",
      "Whether the file system has not answered in time, or with an error.",
      all((state) => Number(state.usage === undefined)),
    ),
  ];
}

function networkMetrics(devices: readonly NetworkDevice[]): Metric[] {
  const each = (value: (counts: TrafficCounts) => number): Sample[] =>
    devices.flatMap(({ device, received, sent }) => [
      { labels: { device: shown(device), direction: "received" }, value: value(received) },
      { labels: { device: shown(device), direction: "sent" }, value: value(sent) },
    ]);
  return [
    metric(
      "network_bytes_total",
      "Bytes of an interface.",
      each((counts) => counts.bytes),
    ),
    metric(
      "network_packets_total",
      "Packets of an interface.",
      each((counts) => counts.packets),
    ),
    metric(
      "network_errors_total",
      "Packets with errors.",
      each((counts) => counts.errors),
    ),
    metric(
      "network_drops_total",
      "Packets that were dropped.",
      each((counts) => counts.drops),
    ),
  ];
}

function metric(suffix: string, help: string, samples: readonly Sample[]): Metric {
  const name = `vsockbox_guest_${suffix}`;
  return { name, help, type: metricTypeOf(name), samples };
}

function one(value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ value }];
}

/** Names in the guest are text of its users. */
function shown(name: string): string {
  return printable(name, { maxCharacters: MAX_TEXT_LENGTH });
}
