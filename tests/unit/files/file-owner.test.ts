import { describe, expect, test } from "bun:test";
import { grantedMode, replacedMode } from "../../../src/files/file-owner.ts";

describe("grantedMode", () => {
  const wanted = { mode: 0o106755, uid: 1, gid: 2 };

  test("keeps set-ID bits with user and group, from a trusted source", () => {
    expect(grantedMode(wanted, { uid: 1, gid: 2 }, true)).toBe(0o6755);
  });

  test.each([
    ["another user", { uid: 3, gid: 2 }, true],
    ["another group", { uid: 1, gid: 3 }, true],
    ["a source that is not trusted", { uid: 1, gid: 2 }, false],
  ])("drops them with %s", (_, actual, isTrusted) => {
    expect(grantedMode(wanted, actual, isTrusted)).toBe(0o755);
  });

  test("keeps the sticky bit", () => {
    expect(grantedMode({ ...wanted, mode: 0o41777 }, { uid: 3, gid: 3 }, false)).toBe(0o1777);
  });
});

test("a file that is replaced loses its set-ID bits, and keeps the others", () => {
  expect(replacedMode({ mode: 0o107751 })).toBe(0o1751);
});
