import { expect, test } from "bun:test";
import { timeStampCounterKhz } from "../../../src/vm/qemu.ts";

const text = (mhz: string, flags: string) =>
  `processor\t: 0\ncpu MHz\t\t: ${mhz}\nflags\t\t: fpu tsc ${flags} sse\n\nprocessor\t: 1\n`;

test("the counter's frequency if the kernel has got it", () => {
  expect(timeStampCounterKhz(text("2499.998", "tsc_known_freq"))).toBe(2_499_998);
});

test("no option if the line has the processor's own frequency, or none", () => {
  expect(timeStampCounterKhz(text("800.000", "constant_tsc"))).toBeUndefined();
  expect(timeStampCounterKhz(text("800.000", "tsc_known_freq aperfmperf"))).toBeUndefined();
  expect(timeStampCounterKhz(text("0.000", "tsc_known_freq"))).toBeUndefined();
  expect(timeStampCounterKhz("processor\t: 0\nBogoMIPS\t: 50.00\n")).toBeUndefined();
});
