import { expect, test } from "bun:test";
import { createVsockmonLink, isOwnLink } from "../../../src/monitor/vsockmon-link.ts";
import { lockName } from "../../../src/ffi/name-lock.ts";

test.each([
  ["vsockbox0", "vsockmon", true],
  ["vsockbox255", "vsockmon", true],
  ["vsockbox", "vsockmon", false],
  ["vsockbox1000", "vsockmon", false],
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

test("a name is locked once, until it is released", () => {
  const name = `vsockbox/test/${process.pid}`;
  const lock = lockName(name);
  expect(lock).toBeDefined();
  expect(lockName(name)).toBeUndefined();
  using other = lockName(`${name}0`);
  expect(other).toBeDefined();
  lock?.[Symbol.dispose]();
  using again = lockName(name);
  expect(again).toBeDefined();
  expect(() => lockName("x".repeat(200))).toThrow("107");
});
