/** The state of a VM, as a device has it. */
import type { VmStatus } from "../../src/device/observe/status.ts";

/** The state of a capture. */
export const CAPTURE_STATE = {
  file: "/x.pcap",
  payload_bytes: 256,
  packets: 1,
  bytes: 2,
  packets_lost: 3,
};

/** Each counter has a value of its own. */
export const VM_STATUS: VmStatus = {
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
  capture: CAPTURE_STATE,
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
