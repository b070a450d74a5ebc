import { expect, test } from "bun:test";
import {
  CPU_MODES,
  parseKernelStatistics,
} from "../../../../src/protocols/procfs/kernel-statistics.ts";

const TEXT = `cpu  1947192 18311 1075652 2146662 9803 1 4359 21486 7 8
cpu0 963292 9558 530300 1094920 2361 0 588 10722 0 0
cpu11 983900 8753 545352 1051742 7441 0 3771 10763 0 0
intr 63116830 0 1 2
ctxt 143516842
btime 1795830401
processes 29405
procs_running 5
procs_blocked 1
softirq 3 4 5
`;

test("a text of Linux 6.18 has seconds by mode, and counts", () => {
  expect(parseKernelStatistics(TEXT)).toEqual({
    cpuSeconds: [19_471.92, 183.11, 10_756.52, 21_466.62, 98.03, 0.01, 43.59, 214.86],
    cpus: 2,
    interrupts: 63_116_830,
    contextSwitches: 143_516_842,
    forks: 29_405,
    bootTimeSeconds: 1_795_830_401,
    runningProcesses: 5,
    blockedProcesses: 1,
  });
  expect(CPU_MODES).toHaveLength(8);
  expect(CPU_MODES.slice(3, 5)).toEqual(["idle", "iowait"]);
});

test.each([
  "",
  "cpu\n",
  "cpu 1 2 3\nctxt -1\nintr x\nprocesses\nbtime 1.5",
  "\0\ncpu 1 2 3 4 5 6 7 z",
])("%p has nothing that can be read", (text) => {
  expect(parseKernelStatistics(text)).toEqual({
    cpuSeconds: [],
    cpus: 0,
    interrupts: undefined,
    contextSwitches: undefined,
    forks: undefined,
    bootTimeSeconds: undefined,
    runningProcesses: undefined,
    blockedProcesses: undefined,
  });
});
