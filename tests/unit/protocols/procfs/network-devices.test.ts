import { expect, test } from "bun:test";
import { parseNetworkDevices } from "../../../../src/protocols/procfs/network-devices.ts";

const TEXT = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 536207964  373389    0    0    0     0          0         0 536207964  373389    0    0    0     0       0          0
  eth0: 926788195   20729    1    2    0     0          0         0  1085200   12576    3    4    0     0       0          0
eth0:1:10 2 0 0 0 0 0 0 30 4 0 0 0 0 0 0
`;

test("interfaces but the loopback have counts of both directions", () => {
  expect(parseNetworkDevices(TEXT)).toEqual([
    {
      device: "eth0",
      received: { bytes: 926_788_195, packets: 20_729, errors: 1, drops: 2 },
      sent: { bytes: 1_085_200, packets: 12_576, errors: 3, drops: 4 },
    },
    {
      device: "eth0:1",
      received: { bytes: 10, packets: 2, errors: 0, drops: 0 },
      sent: { bytes: 30, packets: 4, errors: 0, drops: 0 },
    },
  ]);
});

test("broken lines are ignored", () => {
  const numbers = "1 ".repeat(16);
  for (const line of [
    "",
    "eth0",
    "eth0: 1 2 3",
    `: ${numbers}`,
    `eth0: ${numbers.replace("1", "x")}`,
  ])
    expect(parseNetworkDevices(line)).toEqual([]);
});
