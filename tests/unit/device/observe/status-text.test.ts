/** The state of a VM as lines of text. */
import { expect, test } from "bun:test";
import type { VmCounters, VmStatus } from "../../../../src/device/observe/status.ts";
import { statusLines } from "../../../../src/device/observe/status-text.ts";
import { VM_STATUS } from "../../../support/vm-status.ts";

const COUNTERS = VM_STATUS.counters;

/** The lines of the state with these changes. */
const linesOf = (changes: Partial<VmStatus>, counters: Partial<VmCounters> = {}) =>
  statusLines({ ...VM_STATUS, counters: { ...COUNTERS, ...counters }, ...changes });

/** The line that begins with this word. */
const line = (word: string, changes: Partial<VmStatus>, counters?: Partial<VmCounters>) =>
  linesOf(changes, counters).find((text) => text.trimStart().startsWith(word));

test("a state has a line for each topic, and a table of its connections", () => {
  const lines = linesOf({});
  expect(lines.slice(0, 11)).toEqual([
    "VM 3: VMM connected (16 dropped), no driver yet, up 0:02",
    "  sockets      /run/v.socket, /run/v.vsock",
    "  connections  20 of 1023; opened by host 1, by guest 2; refused by host 3, by guest 4",
    "  clients      22 pending; 17 closed without a CONNECT line, 18 for want of a guest, 23 for want of its answer",
    "  to guest     10 B in 7 packets, 5 resets, 12 times without credit",
    "  from guest   11 B in 8 packets, 6 resets; 9 packets to other VMs, 21 connections with them",
    "  signals      13 interrupts, 14 kicks",
    "  limits       at most 64 KiB for each connection, rings of 1024",
    "  slow readers 24 of closed connections; 22 B lost",
    "  features     version_1 bit_40",
    "  capture      /x.pcap: 1 packet, 2 B, 3 lost",
  ]);
  expect(lines.slice(11).map((text) => text.trim().split(/\s{2,}/))).toEqual([
    [""],
    ["HOST PORT", "GUEST PORT", "BY", "TYPE", "STATE", "TO GUEST"].concat(
      ...[["FROM GUEST", "FREE", "WAITING", "AGE"]],
    ),
    ["1073741824", "5000", "host", "stream", "host-ended", "1 B", "2 B", "3 B", "4 B", "0:00"],
  ]);
});

test.each([
  [0, 0, undefined],
  [1, 0, "  slow readers 1 of closed connections; 0 B lost"],
  [0, 1, "  slow readers 0 of closed connections; 1 B lost"],
  [2, 2048, "  slow readers 2 of closed connections; 2.0 KiB lost"],
])(
  "with %i connections that drain and %i bytes lost, slow readers are named if there are any",
  (draining, lost, text) => {
    expect(line("slow", { connections_draining: draining }, { bytes_lost: lost })).toBe(text);
  },
);

test.each([
  [false, false, 0, "no VMM"],
  [false, true, 1, "no VMM (1 dropped)"],
  [true, false, 0, "VMM connected, no driver yet"],
  [true, true, 0, "VMM connected, driver ready"],
  [true, true, 2, "VMM connected (2 dropped), driver ready"],
])("with a VMM %p, a driver %p and %i dropped VMMs it is %s", (hasVmm, isReady, dropped, text) => {
  const changes = { vmm_connected: hasVmm, driver_ready: isReady };
  expect(line("VM", changes, { vmms_dropped: dropped })).toBe(`VM 3: ${text}, up 0:02`);
});

test("a VM whose ports are forwarded names the CID", () => {
  const { uds_path: _, ...rest } = VM_STATUS;
  const [, sockets] = statusLines({ ...rest, forward_cid: 1 });
  expect(sockets).toBe("  sockets      /run/v.socket, CID 1");
  expect(statusLines(rest)[1]).toBe("  sockets      /run/v.socket, CID ?");
});

test("without features, a capture or connections there is no line for them", () => {
  const lines = linesOf({ features: [], capture: null, connections: [] });
  expect(lines).toHaveLength(9);
  expect(lines.at(-1)).toStartWith("  slow readers ");
});
