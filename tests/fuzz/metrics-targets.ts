/** Metrics of a guest: records that a host reads, and files of proc(5) that an agent reads. */
import {
  type FileSystemState,
  guestMetrics,
  PROC_FILES,
  type ProcFile,
} from "../../src/agent/server/guest-metrics.ts";
import { measuredMounts } from "../../src/agent/server/file-system-states.ts";
import { type JsonObject, parseObject } from "../../src/protocols/agent/json-fields.ts";
import {
  decodeMetricRecord,
  encodeMetricRecord,
} from "../../src/protocols/agent/metric-records.ts";
import { parseMountInfo } from "../../src/protocols/procfs/mount-info.ts";
import { MetricSet } from "../../src/protocols/prometheus/metric-set.ts";
import { encodeMetrics, type Metric } from "../../src/protocols/prometheus/text.ts";
import { readExposition } from "../support/exposition.ts";
import * as corpus from "./corpus.ts";
import { type Target, Violation } from "./targets.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

/** Every exposition of the metrics is one that Prometheus reads, with the host's label on each sample. */
function demandExposition(metrics: readonly Metric[]): void {
  const set = new MetricSet();
  for (const metric of metrics) set.add(metric, { target: "mine" });
  let read: ReturnType<typeof readExposition>;
  try {
    read = readExposition(encodeMetrics(set.list()));
  } catch (thrown) {
    throw new Violation(`Prometheus reads the exposition: ${String(thrown)}`);
  }
  for (const [name, { samples }] of read) {
    demand(/^vsockbox_(?:agent|guest)_/.test(name), "a metric has the prefix of guests");
    const areMine = samples.every(({ labels }) => labels["target"] === "mine");
    demand(areMine, "a guest does not choose its name");
  }
}

const RECORD: Target = {
  name: "metric-record",
  corpus: [
    { name: "vsockbox_guest_load1", help: "Load.", samples: [{ value: 0.5 }] },
    {
      name: "vsockbox_guest_disk_reads_total",
      help: "Reads.",
      samples: [
        { value: 1, labels: { device: "vda" } },
        { value: 2, labels: { device: 'v"d\\b\n' } },
      ],
    },
    { name: "vsockbox_agent_refusals_total", samples: [{ value: 1e300, labels: { reason: "x" } }] },
  ].map(corpus.json),
  codes: ["BAD_DATA"],
  run(input) {
    const metric = decodeMetricRecord(parseObject("fuzz", input));
    demandExposition([metric, metric]);
  },
};

/** The first line names the file, the rest is its text. */
const PROC: Target = {
  name: "proc-files",
  corpus: [
    "stat\ncpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\nintr 5 6\nctxt 7\nbtime 8\nprocesses 9\n",
    "meminfo\nMemTotal:   24684092 kB\nSwapFree: 0 kB\n",
    "vmstat\npgmajfault 1\noom_kill 2\n",
    "loadavg\n0.25 0.5 1.75 1/2 3\n",
    "uptime\n1.5 2.5\n",
    "diskstats\n 254 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n 7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n",
    "net/dev\nInter-| Receive\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
    "pressure/io\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 total=6\n",
    "mounts\n27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n28 1 0:5 / /a\\040b ro - tmpfs x ro\n",
  ].map(corpus.text),
  codes: [],
  run(input) {
    const [name = "", ...lines] = new TextDecoder().decode(input).split("\n");
    const text = lines.join("\n");
    const file = PROC_FILES.find((known) => known === name);
    const proc = new Map<ProcFile, string>(file === undefined ? [] : [[file, text]]);
    const fileSystems = measuredMounts(parseMountInfo(text)).map((mount): FileSystemState => {
      const { path, type, source } = mount;
      return { path, type, source, isReadOnly: false, usage: undefined };
    });
    const metrics = guestMetrics({ proc, fileSystems, nowMs: 1 });
    demandExposition(metrics);
    const sent = metrics.map((metric) => JSON.stringify(encodeMetricRecord(metric)));
    const read = sent.map((record) => decodeMetricRecord(JSON.parse(record) as JsonObject));
    demand(encodeMetrics(read) === encodeMetrics(metrics), "the host reads what the agent sends");
    for (const { samples } of metrics) demand(samples.length <= 128, "devices are bounded");
  },
};

/** Everything that is fuzzed here. */
export const METRICS_TARGETS: readonly Target[] = [RECORD, PROC];
