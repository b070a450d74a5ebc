import { expect, test } from "bun:test";
import { createVsockmonLink, isOwnLink, linkNames } from "../../../src/monitor/vsockmon-link.ts";

test.each([
  ["vsockbox0", "vsockmon", true],
  ["vsockbox255", "vsockmon", true],
  ["vsockbox", "vsockmon", false],
  ["vsockbox9999999", "vsockmon", true],
  ["vsockbox10000000", "vsockmon", false],
  ["xvsockbox0", "vsockmon", false],
  ["vsockbox0x", "vsockmon", false],
  ["vsockmon0", "vsockmon", false],
  ["vsockbox0", "dummy", false],
  ["vsockbox0", undefined, false],
])("a link %s of kind %s: ours is %p", (name, kind, expected) => {
  expect(isOwnLink({ name, kind })).toBe(expected);
});

test("no link is made on a host whose vsock is switched off", () => {
  expect(process.env["VSOCKBOX_NO_VSOCK"]).toBe("1");
  expect(createVsockmonLink).toThrow("switched off by VSOCKBOX_NO_VSOCK");
});

test("names of links are those of ours, and unpredictable after the first eight", () => {
  const names = [...linkNames()];
  expect(names.slice(0, 8)).toEqual(Array.from({ length: 8 }, (_, index) => `vsockbox${index}`));
  expect(names).toHaveLength(72);
  for (const name of names) expect(isOwnLink({ name, kind: "vsockmon" })).toBe(true);
  expect([...linkNames(() => 0)].at(-1)).toBe("vsockbox8");
  expect([...linkNames(() => 1 - 2 ** -53)].at(-1)).toBe("vsockbox9999999");
  expect(new Set([...linkNames(), ...linkNames()]).size).toBeGreaterThan(100);
});
