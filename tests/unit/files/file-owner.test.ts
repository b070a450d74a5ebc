import { describe, expect, test } from "bun:test";
import { closeSync, fchownSync, fstatSync, openSync } from "node:fs";
import {
  changeOwner,
  copyOwnership,
  grantedMode,
  replacedMode,
} from "../../../src/files/file-owner.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

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

describe.skipIf(process.geteuid?.() !== 0)("the owner of an open file", () => {
  const withFile = (run: (fd: number) => void) => {
    using scratch = new ScratchDirectory();
    const fd = openSync(scratch.file("file"), "w", 0o600);
    try {
      fchownSync(fd, 1000, 100);
      run(fd);
    } finally {
      closeSync(fd);
    }
  };
  const now = { uid: 1000, gid: 100 };

  test.each([
    ["user and group", { uid: 1001, gid: 101 }],
    ["the user alone", { uid: 1001, gid: 100 }],
    ["the group alone", { uid: 1000, gid: 101 }],
    ["neither", { uid: 1000, gid: 100 }],
  ])("is changed in %s", (_, wanted) => {
    withFile((fd) => {
      expect(changeOwner(fd, wanted, now)).toEqual(wanted);
      const { uid, gid } = fstatSync(fd);
      expect({ uid, gid }).toEqual(wanted);
    });
  });

  test("is copied with the set-ID bits, which its change would clear", () => {
    withFile((fd) => {
      copyOwnership(fd, { uid: 1001, gid: 101, mode: 0o106_755 }, now);
      const { uid, gid, mode } = fstatSync(fd);
      expect([uid, gid, mode & 0o7777]).toEqual([1001, 101, 0o6755]);
    });
  });

  test("that cannot be changed for another reason than rights is an error", () => {
    expect(() => changeOwner(99_999, { uid: 1, gid: 1 }, now)).toThrow("EBADF");
  });
});
