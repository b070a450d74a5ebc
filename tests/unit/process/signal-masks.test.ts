import { expect, test } from "bun:test";
import { hasSignal, ownSignalMask, parseSignalMask } from "../../../src/process/signal-masks.ts";

const STATUS = "Name:\tx\nSigIgn:\t0000000001001004\nSigCgt:\t00000001600044fb\nCapInh:\t0\n";

test.each([
  [STATUS, "SigCgt", 0x1600044fbn],
  [STATUS, "SigIgn", 0x1001004n],
  ["SigCgt:\t0000000000000000\n", "SigCgt", 0n],
  ["SigCgt:\t0000000000000001\n", "SigIgn", 0n],
  ["Name:\tSigCgt: 5\n", "SigCgt", 0n],
  ["", "SigIgn", 0n],
] as const)("of %j the mask %s", (status, name, expected) => {
  expect(parseSignalMask(status, name)).toBe(expected);
});

test("bit N - 1 is signal N", () => {
  const set = [1, 2, 3, 4, 5].filter((signal) => hasSignal(0b10010n, signal));
  expect(set).toEqual([2, 5]);
});

test("the masks of this process", () => {
  const listener = () => undefined;
  process.on("SIGUSR2", listener);
  try {
    expect(hasSignal(ownSignalMask("SigCgt") ?? 0n, 12)).toBe(true);
    expect(hasSignal(ownSignalMask("SigIgn") ?? 0n, 12)).toBe(false);
  } finally {
    process.off("SIGUSR2", listener);
  }
});
