import { expect, test } from "bun:test";
import { isCloseOnExec, wasClosedAtStart } from "../../../src/ffi/standard-streams.ts";

test.each([
  ["pos:\t0\nflags:\t02100002\nmnt_id:\t24\n", true],
  ["pos:\t0\nflags:\t0100002\nmnt_id:\t24\n", false],
  ["flags:\t02000000", true],
  ["pos:\t2000000\nmnt_id:\t02000000\n", false],
  ["", false],
])("the close-on-exec flag in %j: %p", (fdinfo, expected) => {
  expect(isCloseOnExec(fdinfo)).toBe(expected);
});

test.each([0, 1, 2] as const)("descriptor %d of this process was open at its start", (fd) => {
  expect(wasClosedAtStart(fd)).toBe(false);
});
