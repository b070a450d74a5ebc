import { expect, test } from "bun:test";
import { parseDiskStatistics } from "../../../../src/protocols/procfs/disk-statistics.ts";

const COUNTS = "1 2 3 4 5 6 7 8 9 10 11";

test("a line of Linux 6.18 has bytes and seconds", () => {
  const text =
    " 254       0 vda 547287 98604 198285818 6577468 317631 1568243 564882952 3820531 2 495032 10620729 1520738 65 604850360 221669 12139 1060\n";
  expect(parseDiskStatistics(text)).toEqual([
    {
      device: "vda",
      readsCompleted: 547_287,
      readBytes: 198_285_818 * 512,
      readSeconds: 6577.468,
      writesCompleted: 317_631,
      writtenBytes: 564_882_952 * 512,
      writeSeconds: 3820.531,
      inProgress: 2,
      busySeconds: 495.032,
    },
  ]);
});

test.each([
  ["vda", true],
  ["sdaa", true],
  ["nvme0n1", true],
  ["mmcblk0", true],
  ["dm-0", true],
  ["md127", true],
  ["vda1", false],
  ["xvda15", false],
  ["nvme0n1p2", false],
  ["mmcblk0p1", false],
  ["loop7", false],
  ["ram0", false],
  ["zram0", false],
  ["fd0", false],
])("%s is a disk: %p", (device, isDisk) => {
  const devices = parseDiskStatistics(`1 0 ${device} ${COUNTS}`).map((disk) => disk.device);
  expect(devices).toEqual(isDisk ? [device] : []);
});

test("broken lines are ignored", () => {
  const lines = ["", "1 0 vdb", "1 0 vdc 1 2 3", `1 0 vdd ${COUNTS.replace("7", "-7")}`];
  expect(parseDiskStatistics([...lines, `1 0 vde ${COUNTS}`].join("\n"))).toHaveLength(1);
});
