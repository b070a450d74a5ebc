import { expect, test } from "bun:test";
import { readSize } from "../../../src/text/quantities.ts";

test.each([
  ["0", 0],
  ["4096", 4096],
  ["1KiB", 1024],
  ["1.5 MiB", 1_572_864],
  ["2GiB", 2 ** 31],
  ["8191TiB", 8191 * 2 ** 40],
])("%s is a size", (text, bytes) => {
  expect(readSize(text)).toBe(bytes);
});

test.each(["", "-1", "1MB", "1 2", "1e3", "9999TiB", "KiB", "1mib", " 1"])(
  "%p is not a size",
  (text) => {
    expect(readSize(text)).toBeUndefined();
  },
);
