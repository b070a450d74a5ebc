/** Metrics of the VMs and of the process, for Prometheus. */
import { encodeMetrics, type Metric, type Sample } from "../../protocols/prometheus/text.ts";
import type { VmFacts } from "./status.ts";

/** The process that serves the VMs. */
export interface ServerFacts {
  version: string;
  commit: string;
  target: string;
  /** Resident memory. */
  residentBytes: number;
  /** Of all threads, in user and kernel mode. */
  cpuSeconds: number;
  /** Seconds since 1970. */
  startedAt: number;
}

type Values = (vm: VmFacts) => readonly (readonly [Readonly<Record<string, string>>, number])[];

const one =
  (value: (vm: VmFacts) => number): Values =>
  (vm) => [[{}, value(vm)]];

/** A sample for each direction, with the label `direction`. */
const directions =
  (values: (vm: VmFacts) => readonly [toGuest: number, fromGuest: number]): Values =>
  (vm) => {
    const [toGuest, fromGuest] = values(vm);
    return [
      [{ direction: "to_guest" }, toGuest],
      [{ direction: "from_guest" }, fromGuest],
    ];
  };

/** A sample for each side, with the label `by`. */
const sides =
  (values: (vm: VmFacts) => readonly [host: number, guest: number]): Values =>
  (vm) => {
    const [host, guest] = values(vm);
    return [
      [{ by: "host" }, host],
      [{ by: "guest" }, guest],
    ];
  };

type VmMetric = readonly [name: string, type: Metric["type"], help: string, values: Values];

const VM_METRICS: readonly VmMetric[] = [
  ["connections", "gauge", "Connections that are open.", one((vm) => vm.connections_open)],
  [
    "connections_limit",
    "gauge",
    "Connections that may be open at once.",
    one((vm) => vm.limits.connections),
  ],
  [
    "connections_opened_total",
    "counter",
    "Connections that were opened, by the side that has opened them.",
    sides(({ counters }) => [counters.opened_by_host, counters.opened_by_guest]),
  ],
  [
    "connections_refused_total",
    "counter",
    "Connections that were refused, by the side that has refused them.",
    sides(({ counters }) => [counters.refused_by_host, counters.refused_by_guest]),
  ],
  [
    "resets_total",
    "counter",
    "Resets (VIRTIO_VSOCK_OP_RST).",
    directions(({ counters }) => [counters.resets_to_guest, counters.resets_from_guest]),
  ],
  [
    "packets_total",
    "counter",
    "Packets of all kinds.",
    directions(({ counters }) => [counters.packets_to_guest, counters.packets_from_guest]),
  ],
  [
    "single_descriptor_packets_total",
    "counter",
    "Packets whose header and payload are in one descriptor.",
    directions(({ counters }) => [
      counters.single_descriptor_to_guest,
      counters.single_descriptor_from_guest,
    ]),
  ],
  [
    "sibling_packets_total",
    "counter",
    "Packets of the guest to other VMs; part of the packets from the guest.",
    one(({ counters }) => counters.packets_to_siblings),
  ],
  [
    "sibling_connections",
    "gauge",
    "Connections with other VMs.",
    one((vm) => vm.sibling_connections),
  ],
  [
    "bytes_total",
    "counter",
    "Bytes of payload, without those of other VMs.",
    directions(({ counters }) => [counters.bytes_to_guest, counters.bytes_from_guest]),
  ],
  [
    "credit_starved_total",
    "counter",
    "How often bytes for the guest had to wait for credit.",
    one(({ counters }) => counters.credit_starved),
  ],
  [
    "interrupts_total",
    "counter",
    "Interrupts that were signalled to the guest.",
    one(({ counters }) => counters.interrupts),
  ],
  ["kicks_total", "counter", "Kicks of the guest.", one(({ counters }) => counters.kicks)],
  ["vmm_connected", "gauge", "Whether a VMM is connected.", one((vm) => Number(vm.vmm_connected))],
  [
    "driver_ready",
    "gauge",
    "Whether the guest's driver is ready.",
    one((vm) => Number(vm.driver_ready)),
  ],
  [
    "vmm_connects_total",
    "counter",
    "VMMs that have connected.",
    one(({ counters }) => counters.vmms_connected),
  ],
  [
    "vmm_drops_total",
    "counter",
    "VMMs that were disconnected because they or their guests have violated the protocol.",
    one(({ counters }) => counters.vmms_dropped),
  ],
  [
    "pending_clients",
    "gauge",
    "Host clients without a CONNECT line, and connects to services without a result.",
    one((vm) => vm.pending_clients),
  ],
  [
    "clients_refused_total",
    "counter",
    "Host clients that were closed: for their CONNECT line, or because no guest is ready.",
    ({ counters }) => [
      [{ reason: "line" }, counters.clients_dropped],
      [{ reason: "guest" }, counters.clients_refused],
    ],
  ],
  [
    "connect_timeouts_total",
    "counter",
    "Requests of the host that the guest has not answered in time.",
    one(({ counters }) => counters.connect_timeouts),
  ],
  [
    "connections_draining",
    "gauge",
    "Connections that have ended for the guest, with bytes of it for a slow reader on the host.",
    one((vm) => vm.connections_draining),
  ],
  [
    "bytes_lost_total",
    "counter",
    "Bytes of the guest that programs on the host have not read in time.",
    one(({ counters }) => counters.bytes_lost),
  ],
  [
    "capture_active",
    "gauge",
    "Whether packets are captured.",
    one((vm) => Number(vm.capture !== null)),
  ],
  [
    "capture_packets_lost_total",
    "counter",
    "Packets that arrived faster than they could be captured.",
    one(({ counters }) => counters.capture_packets_lost),
  ],
];

/** Returns all metrics in Prometheus' text format; those of a VM have the label `cid`. */
export function metricsText(vms: readonly VmFacts[], process: ServerFacts): string {
  const ofVms = VM_METRICS.map(([name, type, help, values]): Metric => {
    const samples = vms.flatMap((vm) =>
      values(vm).map(([labels, value]): Sample => ({
        labels: { cid: vm.guest_cid, ...labels },
        value,
      })),
    );
    return { name: `vsockbox_${name}`, type, help, samples };
  });
  return encodeMetrics([...processMetrics(process), ...ofVms]);
}

function processMetrics(facts: ServerFacts): Metric[] {
  const { version, commit, target } = facts;
  const metric = (name: string, type: Metric["type"], help: string, sample: Sample): Metric => ({
    name: `vsockbox_${name}`,
    type,
    help,
    samples: [sample],
  });
  return [
    metric("build_info", "gauge", "Version of the program; always 1.", {
      labels: { version, commit, target },
      value: 1,
    }),
    metric("process_start_time_seconds", "gauge", "Start time in seconds since 1970.", {
      value: facts.startedAt,
    }),
    metric("process_resident_memory_bytes", "gauge", "Resident memory.", {
      value: facts.residentBytes,
    }),
    metric("process_cpu_seconds_total", "counter", "Processor time, user and system.", {
      value: facts.cpuSeconds,
    }),
  ];
}
