import { describe, expect, test } from "bun:test";
import {
  isVhostUser,
  lastPart,
  readListeners,
  stoppedProcesses,
} from "../../../../src/diagnose/facts/processes.ts";
import { FakeRoot } from "../../../support/fake-root.ts";

const UNIX = `Num       RefCount Protocol Flags    Type St Inode Path
0: 00000002 00000000 00010000 0001 01 41 /run/a.vsock
0: 00000002 00000000 00010000 0001 01 42 /run/b.vsock
0: 00000003 00000000 00000000 0001 03 43 /run/connected
`;
const process = (pid: number, cmdline: string, stat: string, fds: Record<string, string> = {}) => ({
  [`/proc/${pid}/cmdline`]: cmdline,
  [`/proc/${pid}/stat`]: stat,
  ...Object.fromEntries(
    Object.entries(fds).map(([fd, link]) => [`/proc/${pid}/fd/${fd}`, `->${link}`]),
  ),
});

describe("listeners", () => {
  test("have the process that holds their socket", () => {
    using root = new FakeRoot({
      "/proc/net/unix": UNIX,
      "/proc/self/fd/1": "->socket:[41]",
      ...process(12, "/usr/bin/firecracker\0--id\0x\0", "12 (fire (cr) S 1", {
        3: "socket:[41]",
        4: "socket:[43]",
      }),
      ...process(9, "sh\0", "9 (sh) S 1", { 0: "/dev/null" }),
      ...process(100, "later\0", "100 (later) T 1", { 3: "socket:[41]" }),
    });
    expect(readListeners(root.files)).toEqual(
      new Map([
        [
          "/run/a.vsock",
          { pid: 12, command: ["/usr/bin/firecracker", "--id", "x"], isStopped: false },
        ],
        ["/run/b.vsock", undefined],
      ]),
    );
  });

  test("do not exist without /proc", () => {
    using root = new FakeRoot({});
    expect(readListeners(root.files)).toEqual(new Map());
  });
});

test.each([
  ["vsockbox hybrid-proxy --config /etc/vms.yaml", true, true],
  ["vsockbox hybrid-proxy --config /etc/vms.yaml", false, false],
  ["vsockbox hybrid-proxy --socket /run/a", false, true],
  ["vhost-device-vsock --socket=/run/a --uds-path=/run/b", false, true],
  ["vhost-device-vsock --vm guest-cid=3,socket=/run/a,uds-path=/run/b", false, true],
  ["vhost-device-vsock --vm guest-cid=3,socket=/run/ab,uds-path=/run/a", false, false],
  ["vsockbox hybrid-proxy --socket /run/b --uds-path /run/a", false, false],
])("whether /run/a of `%s` is for a VMM; control socket: %p", (line, hasControl, expected) => {
  const device = { pid: 7, command: line.split(" "), isStopped: false };
  const listeners = new Map([
    ["/run/a", device],
    ["/run/a.ctl", hasControl ? device : { ...device, pid: 8 }],
  ]);
  expect(isVhostUser("/run/a", listeners)).toBe(expected);
  expect(isVhostUser("/run/none", listeners)).toBe(false);
});

describe("stopped processes", () => {
  test("are those of the program that a signal or a debugger has stopped", () => {
    using root = new FakeRoot({
      ...process(2, "/bin/vsockbox\0agent\0", "2 (vsockbox) T 1"),
      ...process(3, "vsockbox\0agent\0", "3 (vsockbox) t 1"),
      ...process(4, "vsockbox\0agent\0", "4 (vsockbox) S 1"),
      ...process(5, "other\0", "5 (vsockbox) T 1"),
      ...process(6, "", "6 (vsockbox) T 1"),
      "/proc/version/cmdline": "vsockbox\0",
    });
    expect(stoppedProcesses(root.files, "vsockbox")).toEqual([
      { pid: 2, command: ["/bin/vsockbox", "agent"], isStopped: true },
      { pid: 3, command: ["vsockbox", "agent"], isStopped: true },
      { pid: 6, command: ["vsockbox"], isStopped: true },
    ]);
  });
});

test("the last part of a path", () => {
  expect([lastPart("/a/b"), lastPart("b"), lastPart("")]).toEqual(["b", "b", ""]);
});
