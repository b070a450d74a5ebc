/** The state of a VM as plain data. */
import { describe, expect, test } from "bun:test";
import type { ObservedVm } from "../../../../src/device/observe/observed-vm.ts";
import { statusOf, vmFacts } from "../../../../src/device/observe/status.ts";
import type { HostConnection } from "../../../../src/device/vsock/host-connection.ts";
import { SeqpacketConnection } from "../../../../src/device/vsock/seqpacket-connection.ts";
import { DeviceStatistics } from "../../../../src/device/vsock/statistics.ts";
import { StreamConnection } from "../../../../src/device/vsock/stream-connection.ts";
import { Feature } from "../../../../src/protocols/vhost-user/features.ts";
import { Connection } from "../../../../src/protocols/virtio-vsock/connection.ts";
import { PacketType } from "../../../../src/protocols/virtio-vsock/packet.ts";

/** A VM whose device has these connections and features. */
function observed(connections: readonly HostConnection[] = [], features = 0n) {
  const statistics = Object.assign(new DeviceStatistics(), { opened: 7, openedByGuest: 3 });
  const device = {
    ...{ hasVmm: true, isReady: false, features, statistics, siblings: { count: 4 } },
    muxer: Object.assign([...connections], { count: connections.length, drainingCount: 2 }),
    ...{ clients: { pending: 5 }, singleDescriptorToGuest: 6 },
  };
  const backend = { kind: "unix", udsPath: "/run/v.vsock" };
  const config = { guestCid: 3, socket: "/run/v.socket", backend, maxConnections: 8, queueSize: 9 };
  const vm = { config, device, since: performance.now() - 90_000, packetsLost: 1 };
  return vm as unknown as ObservedVm;
}

/** A connection that the guest has opened and the host has accepted. */
function open(hostPort: number, guestPort: number, type: PacketType = PacketType.Stream) {
  const vsock = new Connection(hostPort, guestPort, type, 4096);
  vsock.begin(1000, 0);
  vsock.accept();
  return type === PacketType.Stream
    ? new StreamConnection(vsock, true)
    : new SeqpacketConnection(vsock, true);
}

const stateOf = (connection: HostConnection) =>
  statusOf(observed([connection])).connections[0]?.state;

describe("the state of a connection", () => {
  test("is opening until both sides have agreed", () => {
    const vsock = new Connection(1, 2, PacketType.Stream, 4096);
    const connection = new StreamConnection(vsock, false);
    expect(stateOf(connection)).toBe("opening");
    vsock.begin(1000, 0);
    expect(stateOf(connection)).toBe("opening");
    vsock.accept();
    expect(stateOf(connection)).toBe("open");
  });

  test("names the side that has ended first, and both are closing", () => {
    const [byHost, byGuest, dead] = [open(1, 1), open(1, 2), open(1, 3)];
    byHost.vsock.hostEnded = true;
    byGuest.vsock.guestEnded = true;
    dead.vsock.kill();
    expect([byHost, byGuest, dead].map(stateOf)).toEqual(["host-ended", "guest-ended", "closing"]);
    byHost.vsock.guestEnded = true;
    expect(stateOf(byHost)).toBe("closing");
  });
});

test("connections are in the order of the host's ports, then the guest's, each with its numbers", () => {
  const first = open(5, 9, PacketType.Seqpacket);
  Object.assign(first, { bytesToGuest: 10, bytesFromGuest: 20, since: performance.now() - 2000 });
  first.vsock.received = 20;
  first.vsock.fwdCnt = 5;
  first.vsock.sent = 400;
  const mine = new StreamConnection(new Connection(7, 1, PacketType.Stream, 1), false);
  const { connections } = statusOf(observed([mine, open(5, 10), open(6, 1), first]));
  expect(connections.map((each) => [each.host_port, each.guest_port])).toEqual([
    [5, 9],
    [5, 10],
    [6, 1],
    [7, 1],
  ]);
  expect(connections[0]).toMatchObject({
    ...{ begun_by: "guest", type: "seqpacket", bytes_to_guest: 10, bytes_from_guest: 20 },
    ...{ guest_free_bytes: 600, waiting_bytes: 15 },
  });
  expect(connections[3]).toMatchObject({ begun_by: "host", type: "stream" });
  const age = connections[0]?.age_seconds ?? 0;
  expect([Math.floor(age) >= 2, age * 1000 === Math.round(age * 1000)]).toEqual([true, true]);
});

test("features are named, and those without a name have their number", () => {
  const { Stream, EventIndex, Version1 } = Feature;
  const features = Stream | EventIndex | Version1 | (1n << 40n);
  expect(vmFacts(observed([], features)).features).toEqual([
    ...["stream", "event_index", "version_1", "bit_40"],
  ]);
  expect(vmFacts(observed()).features).toEqual([]);
});

test("facts of a VM are those of its configuration and its device", () => {
  const facts = vmFacts(observed([open(1, 1)]));
  expect(facts).toMatchObject({
    ...{ guest_cid: 3, socket: "/run/v.socket", uds_path: "/run/v.vsock" },
    ...{ vmm_connected: true, driver_ready: false, connections_open: 1, connections_draining: 2 },
    ...{ sibling_connections: 4, pending_clients: 5, capture: null },
    limits: { connections: 8, tx_buffer_bytes: 1_048_576, queue_entries: 9 },
  });
  expect(facts.counters).toMatchObject({
    ...{ opened_by_host: 4, opened_by_guest: 3, single_descriptor_to_guest: 6 },
    ...{ clients_dropped: 0, capture_packets_lost: 1 },
  });
  expect([Math.floor(facts.uptime_seconds) >= 90, facts.forward_cid]).toEqual([true, undefined]);
});
