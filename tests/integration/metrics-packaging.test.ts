/**
 * The alert rules and dashboards of packaging/: they name metrics that agents, guests and devices have,
 * Prometheus reads their queries, and each alert fires on the state that it is for.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { Running, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { readExposition } from "../support/exposition.ts";
import { describeWith, findTool } from "../support/tools.ts";

const PACKAGING = join(import.meta.dir, "../../packaging");
const RULES = join(PACKAGING, "prometheus/vsockbox.rules.yml");

interface Rule {
  alert: string;
  expr: string;
  for?: string;
  labels: { severity: string };
  annotations: { summary: string };
}

interface Panel {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string; legendFormat: string; datasource: { uid: string } }[];
}

interface Dashboard {
  uid: string;
  title: string;
  panels: Panel[];
  templating: { list: { name: string; query: string | { query: string } }[] };
}

const rules = (
  parse(readFileSync(RULES, "utf8")) as { groups: { name: string; rules: Rule[] }[] }
).groups.flatMap((group) => group.rules);

const dashboards = readdirSync(join(PACKAGING, "grafana")).map((file) => ({
  file,
  dashboard: JSON.parse(readFileSync(join(PACKAGING, "grafana", file), "utf8")) as Dashboard,
}));

const queriesOf = ({ panels }: Dashboard) =>
  panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

/** Names of metrics and labels of a query, or of a text with placeholders. */
const metricsIn = (text: string) => text.match(/\bvsockbox_\w+/g) ?? [];
const labelsIn = (text: string) => [
  ...[...text.matchAll(/[{,]\s*(\w+)=~?"/g)].map(([, label = ""]) => label),
  ...[...text.matchAll(/(?:by|without|on) \(([^)]*)\)/g)].flatMap(([, list = ""]) =>
    list.split(/, */),
  ),
  ...[...text.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}/g)].map(([, label = ""]) => label),
];

/** Metrics of kernels that have what they are about: this one may not. */
const OPTIONAL: readonly RegExp[] = [/_guest_network_/, /_guest_pressure_/, /_guest_disk_/];

/** Metrics of the executables, and the labels of their samples. */
const known = new Map<string, Set<string>>();

beforeAll(async () => {
  using scratch = new ScratchDirectory();
  const socket = scratch.file("metrics.sock");
  await using agent = await TestAgent.start();
  const paths = ["--socket", scratch.file("v.socket"), "--uds-path", scratch.file("v.vsock")];
  await using device = new Running(["hybrid-proxy", ...paths, "--metrics", `unix:${socket}`]);
  await device.says("metrics are at");
  const texts = [
    (await vsockbox(["metrics", agent.address])).stdout,
    await (await fetch("http://localhost/metrics", { unix: socket })).text(),
  ];
  for (const text of texts) {
    for (const [name, { samples }] of readExposition(text)) {
      const labels = samples.flatMap((sample) => Object.keys(sample.labels));
      // A scrape adds these.
      known.set(name, new Set([...labels, "instance", "job", "cid"]));
    }
  }
});

const isOptional = (name: string) => OPTIONAL.some((pattern) => pattern.test(name));

/** Checks that each metric of a query exists, with the labels that the query and its texts name. */
function expectMetrics(query: string, ...texts: readonly string[]): void {
  const names = metricsIn(query);
  expect([query, names.length > 0]).toEqual([query, true]);
  expect(names.filter((name) => !known.has(name) && !isOptional(name))).toEqual([]);
  if (names.some((name) => !known.has(name))) return;
  const hasLabel = (label: string) => names.some((name) => known.get(name)?.has(label));
  for (const label of [query, ...texts].flatMap(labelsIn)) {
    expect([query, label, hasLabel(label)]).toEqual([query, label, true]);
  }
}

describe("the alert rules", () => {
  test.each(rules)(
    "$alert names metrics and labels that exist",
    ({ expr, annotations, labels }) => {
      expectMetrics(expr, ...Object.values(annotations));
      expect(["critical", "warning", "info"]).toContain(labels.severity);
    },
  );
});

describe.each(dashboards)("the dashboard $file", ({ file, dashboard }) => {
  test("names metrics and labels that exist", () => {
    expect(queriesOf(dashboard).length).toBeGreaterThan(15);
    for (const { targets = [] } of dashboard.panels) {
      for (const { expr, legendFormat } of targets) expectMetrics(expr, legendFormat);
    }
    for (const { query } of dashboard.templating.list) {
      if (typeof query !== "string") expectMetrics(query.query);
    }
  });

  test("has panels that do not overlap, each with a number of its own and the chosen source", () => {
    expect(`${dashboard.uid}.json`).toBe(file);
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, n) => `${x + (n % w)} ${y + Math.floor(n / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
    for (const { type, targets = [] } of panels) {
      expect(targets.length > 0).toBe(type !== "row");
      for (const { datasource } of targets) expect(datasource.uid).toBe("${datasource}");
    }
  });
});

test("docs/metrics.md has each metric of agents and guests with its type and labels, and no other", () => {
  const page = readFileSync(join(PACKAGING, "../docs/metrics.md"), "utf8");
  const rows = new Map(
    [...page.matchAll(/^\| `(vsockbox_\w+)` +\| (counter|gauge) +\|([^|]*)\|/gm)].map(
      ([, name = "", type = "", labels = ""]) => [name, { type, labels }],
    ),
  );
  const ofGuests = [...known.keys()].filter((name) =>
    /^vsockbox_(?:agent_|guest_|up$|scrape_|clock_)/.test(name),
  );
  expect(ofGuests.filter((name) => !rows.has(name))).toEqual([]);
  const extra = [...rows.keys()].filter((name) => !ofGuests.includes(name));
  expect(extra.filter((name) => !isOptional(name))).toEqual([]);
  for (const [name, { type, labels }] of rows) {
    expect([name, type]).toEqual([name, name.endsWith("_total") ? "counter" : "gauge"]);
    for (const [, label = ""] of labels.matchAll(/`(\w+)`/g)) {
      const isThere = known.get(name)?.has(label) ?? isOptional(name);
      expect([name, label, isThere || !known.has(name)]).toEqual([name, label, true]);
    }
  }
});

/** For each alert: series as `promtool test rules` writes them, in steps of a minute, and the labels. */
const STATES: Readonly<Record<string, readonly (readonly [series: string, values: string])[]>> = {
  VsockboxGuestDown: [['vsockbox_up{target="t"}', "0x60"]],
  VsockboxGuestOutOfMemory: [['vsockbox_guest_oom_kills_total{target="t"}', "0+1x60"]],
  VsockboxGuestMemoryLow: [
    ['vsockbox_guest_memory_available_bytes{target="t"}', "9x60"],
    ['vsockbox_guest_memory_total_bytes{target="t"}', "100x60"],
  ],
  VsockboxGuestMemoryPressure: [
    ['vsockbox_guest_pressure_seconds_total{target="t",resource="memory",share="full"}', "0+12x60"],
  ],
  VsockboxGuestProcessorPressure: [
    ['vsockbox_guest_pressure_seconds_total{target="t",resource="cpu",share="some"}', "0+54x60"],
  ],
  VsockboxGuestProcessorStolen: [
    ['vsockbox_guest_cpu_seconds_total{target="t",mode="steal"}', "0+60x60"],
    ['vsockbox_guest_cpus{target="t"}', "4x60"],
  ],
  VsockboxGuestFileSystemFull: [
    ['vsockbox_guest_filesystem_available_bytes{target="t",mountpoint="/"}', "9x60"],
    ['vsockbox_guest_filesystem_size_bytes{target="t",mountpoint="/"}', "100x60"],
    ['vsockbox_guest_filesystem_read_only{target="t",mountpoint="/"}', "0x60"],
  ],
  VsockboxGuestInodesLow: [
    ['vsockbox_guest_filesystem_files_free{target="t",mountpoint="/"}', "4x60"],
    ['vsockbox_guest_filesystem_files{target="t",mountpoint="/"}', "100x60"],
    ['vsockbox_guest_filesystem_read_only{target="t",mountpoint="/"}', "0x60"],
  ],
  VsockboxGuestFileSystemError: [
    ['vsockbox_guest_filesystem_error{target="t",mountpoint="/"}', "1x60"],
  ],
  VsockboxGuestClockOff: [['vsockbox_clock_offset_seconds{target="t"}', "-3x60"]],
  VsockboxAgentSessionsHigh: [
    ['vsockbox_agent_sessions{target="t"}', "95x60"],
    ['vsockbox_agent_sessions_limit{target="t"}', "100x60"],
  ],
  VsockboxAgentBuffersHigh: [
    ['vsockbox_agent_buffers_used_bytes{target="t"}', "90x60"],
    ['vsockbox_agent_buffers_limit_bytes{target="t"}', "100x60"],
  ],
  VsockboxAgentDescriptorsHigh: [
    ['vsockbox_agent_process_open_fds{target="t"}', "90x60"],
    ['vsockbox_agent_process_max_fds{target="t"}', "100x60"],
  ],
  VsockboxAgentRefusesPeers: [['vsockbox_agent_refusals_total{target="t",reason="cid"}', "0+2x60"]],
  VsockboxAgentRestarts: [['vsockbox_agent_process_start_time_seconds{target="t"}', "0+60x60"]],
  VsockboxDriverNotReady: [
    ['vsockbox_vmm_connected{cid="3"}', "1x60"],
    ['vsockbox_driver_ready{cid="3"}', "0x60"],
  ],
  VsockboxVmmDropped: [['vsockbox_vmm_drops_total{cid="3"}', "0+1x60"]],
  VsockboxDeviceConnectionsHigh: [
    ['vsockbox_connections{cid="3"}', "95x60"],
    ['vsockbox_connections_limit{cid="3"}', "100x60"],
  ],
  VsockboxDeviceBytesLost: [['vsockbox_bytes_lost_total{cid="3"}', "0+1x60"]],
  VsockboxDeviceConnectTimeouts: [['vsockbox_connect_timeouts_total{cid="3"}', "0+1x60"]],
};

/** The same series in a state without any problem. */
const FINE: Readonly<Record<string, string>> = {
  VsockboxGuestDown: "1x60",
  VsockboxGuestMemoryLow: "100x60",
  VsockboxGuestFileSystemFull: "100x60",
  VsockboxGuestInodesLow: "100x60",
  VsockboxGuestFileSystemError: "0x60",
  VsockboxDriverNotReady: "0x60",
};

describeWith(["promtool"], "promtool", () => {
  const scratch = new ScratchDirectory();
  afterAll(() => scratch[Symbol.dispose]());

  function promtool(...words: string[]): string {
    const { exitCode, stdout, stderr } = Bun.spawnSync([findTool("promtool") ?? "", ...words]);
    const output = `${stdout.toString()}${stderr.toString()}`;
    expect([output, exitCode]).toEqual([output, 0]);
    return output;
  }

  test("reads the alert rules", () => {
    expect(promtool("check", "rules", RULES)).toContain(`SUCCESS: ${rules.length} rules found`);
  });

  test("reads the configuration of docs/metrics.md", () => {
    const page = readFileSync(join(PACKAGING, "../docs/metrics.md"), "utf8");
    const [, yaml = ""] = /^```yaml\n([\s\S]*?)^```$/m.exec(page) ?? [];
    writeFileSync(scratch.file("vsockbox.rules.yml"), readFileSync(RULES));
    writeFileSync(scratch.file("prometheus.yml"), yaml);
    expect(promtool("check", "config", scratch.file("prometheus.yml"))).toContain("SUCCESS");
  });

  test.each(dashboards)("reads the queries of $file", ({ file, dashboard }) => {
    const recorded = queriesOf(dashboard).map((query, index) => ({
      record: `query:${index}`,
      expr: query.replaceAll("$__rate_interval", "5m"),
    }));
    const path = scratch.file(`${file}.yml`);
    writeFileSync(path, stringify({ groups: [{ name: "queries", rules: recorded }] }));
    expect(promtool("check", "rules", path)).toContain(`SUCCESS: ${recorded.length} rules found`);
  });

  /** Runs all rules over series, and expects alerts by their names. */
  function expectAlerts(states: typeof STATES, expected: (name: string) => boolean): void {
    const tests = rules.map(({ alert }) => {
      const [[first = ""] = []] = states[alert] ?? [];
      const labels = /(?:target|cid|mountpoint)="[^"]*"/g;
      const pairs = (first.match(labels) ?? []).map((pair) => pair.replaceAll('"', "").split("="));
      const { severity } = rules.find((rule) => rule.alert === alert)?.labels ?? {};
      return {
        interval: "1m",
        input_series: (states[alert] ?? []).map(([series, values]) => ({ series, values })),
        alert_rule_test: rules.map((rule) => ({
          eval_time: "50m",
          alertname: rule.alert,
          exp_alerts:
            rule.alert === alert && expected(alert)
              ? [{ exp_labels: { severity, ...extraLabels(alert), ...Object.fromEntries(pairs) } }]
              : [],
        })),
      };
    });
    // Texts of annotations are not compared: those of the rules are taken out.
    const document = parse(readFileSync(RULES, "utf8")) as { groups: { rules: Partial<Rule>[] }[] };
    for (const group of document.groups) for (const rule of group.rules) delete rule.annotations;
    writeFileSync(scratch.file("rules.yml"), stringify(document));
    writeFileSync(
      scratch.file("tests.yml"),
      stringify({ rule_files: ["rules.yml"], evaluation_interval: "1m", tests }),
    );
    promtool("test", "rules", scratch.file("tests.yml"));
  }

  const extraLabels = (alert: string) =>
    alert.endsWith("Pressure")
      ? alert === "VsockboxGuestMemoryPressure"
        ? { resource: "memory", share: "full" }
        : { resource: "cpu", share: "some" }
      : {};

  test("fires each alert on the state that it is for, and no other one", () => {
    expect(Object.keys(STATES)).toEqual(rules.map(({ alert }) => alert));
    expectAlerts(STATES, () => true);
  });

  test("fires none without a problem", () => {
    const fine = Object.entries(STATES).map(([alert, series]) => {
      const [first, ...others] = series;
      return [alert, first === undefined ? [] : [[first[0], FINE[alert] ?? "1x60"], ...others]];
    });
    expectAlerts(Object.fromEntries(fine) as typeof STATES, () => false);
  });
});
