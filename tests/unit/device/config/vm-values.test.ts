import { expect, test } from "bun:test";
import {
  formatMode,
  formatVmSize,
  isOwner,
  readMode,
  readVmSize,
} from "../../../../src/device/config/vm-values.ts";

test.each([
  ["1", 1],
  ["65536", 65_536],
  ["64K", 65_536],
  ["10m", 10 * 1024 * 1024],
  ["1G", 1024 ** 3],
  ["8388607G", 8_388_607 * 1024 ** 3],
  ["8388608G", undefined],
  ["999999999999999", 999_999_999_999_999],
  ["1000000000000000", undefined],
  ["0", undefined],
  ["01", undefined],
  ["", undefined],
  ["K", undefined],
  ["1.5K", undefined],
  ["1T", undefined],
  ["1 K", undefined],
])("the size %p is %p bytes", (text, bytes) => {
  expect(readVmSize(text)).toBe(bytes);
});

test.each([
  [1, "1"],
  [1023, "1023"],
  [1024, "1K"],
  [1536, "1536"],
  [10 * 1024 * 1024, "10M"],
  [1025 * 1024, "1025K"],
  [1024 ** 3, "1G"],
])("%d bytes are written as %p, and read as the same", (bytes, text) => {
  expect(formatVmSize(bytes)).toBe(text);
  expect(readVmSize(text)).toBe(bytes);
});

test.each([
  ["660", 0o660, "0660"],
  ["0600", 0o600, "0600"],
  ["007", 0o007, "0007"],
])("the mode %p is read as octal and written with four digits", (text, mode, written) => {
  expect(readMode(text)).toBe(mode);
  expect(formatMode(mode)).toBe(written);
});

test.each(["", "66", "1660", "668", "00660", "0o660", "rw"])("%p is not a mode", (text) => {
  expect(readMode(text)).toBeUndefined();
});

test.each([
  ["root", true],
  ["root\0", false],
  ["root:kvm\0", false],
  [":kvm\0", false],
  ["0:0", true],
  [":kvm", true],
  ["root:kvm", true],
  ["", false],
  [":", false],
  ["root:", false],
  ["a:b:c", false],
  ["a b", false],
  ["a\0", false],
])("%p may be an owner: %p", (text, expected) => {
  expect(isOwner(text)).toBe(expected);
});
