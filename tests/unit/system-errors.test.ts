import { CString, dlopen } from "bun:ffi";
import { describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { reasonOf, toVsockboxError } from "../../src/errors.ts";
import { openAt } from "../../src/ffi/directory-calls.ts";
import { errnoMessage, errnoName, kernelName } from "../../src/system-errors.ts";

/** The C library's descriptions; undefined on a machine without glibc. */
function loadStrerror(): ((errno: number) => string) | undefined {
  try {
    const { symbols } = dlopen("libc.so.6", { strerror: { args: ["i32"], returns: "ptr" } });
    return (errno) => {
      const text = symbols.strerror(errno);
      return text === null ? "" : new CString(text).toString();
    };
  } catch {
    return undefined;
  }
}

const strerror = loadStrerror();

describe("errno", () => {
  test.skipIf(strerror === undefined)("has glibc's descriptions, and no unknown number", () => {
    for (let errno = 1; errno <= 133; errno++) {
      const expected = strerror?.(errno) ?? "";
      expect(errnoMessage(errno).toLowerCase()).toBe(expected.toLowerCase());
      expect(errnoName(errno) === `errno ${errno}`).toBe(expected.startsWith("Unknown"));
    }
  });

  test.skipIf(Bun.which("gcc") === null)("has the names of errno.h", async () => {
    const child = Bun.spawnSync(["gcc", "-x", "c", "-dM", "-E", "-"], {
      stdin: Buffer.from("#include <errno.h>\n"),
    });
    const defined = new Map(
      [...child.stdout.toString().matchAll(/^#define (E[A-Z0-9]+) (\d+)$/gm)].map(
        ([, name = "", errno]) => [name, Number(errno)],
      ),
    );
    expect(defined.size).toBeGreaterThan(120);
    for (const [name, errno] of defined) {
      const own = errnoName(errno);
      expect([name, defined.get(own)]).toEqual([name, errno]);
    }
  });

  test("names an unknown number", () => {
    expect([errnoName(4711), errnoMessage(524)]).toEqual(["errno 4711", "unknown error 524"]);
  });

  test("has the kernel's name and description for the runtime's ENOTSUP", () => {
    expect([errnoName(95), kernelName("ENOTSUP"), kernelName("EIO")]).toEqual([
      "EOPNOTSUPP",
      "EOPNOTSUPP",
      "EIO",
    ]);
    const thrown = Object.assign(
      new Error("ENOTSUP: operation not supported on socket, open '/proc'"),
      { code: "ENOTSUP" },
    );
    expect(reasonOf(thrown)).toEqual({ errno: "EOPNOTSUPP", message: "operation not supported" });
  });

  test.each([
    ["EISDIR: illegal operation on a directory, read", "EISDIR", "is a directory"],
    ["EIO: i/o error, read", "EIO", "input/output error"],
    ["ENOMEM: not enough memory, open", "ENOMEM", "cannot allocate memory"],
    ["EXOTIC: something of the runtime, read", "EXOTIC", "something of the runtime"],
    ["our own words", "EEXIST", "our own words"],
  ])("describes %j of the runtime", (message, code, expected) => {
    const thrown = Object.assign(new Error(message), { code });
    expect(toVsockboxError(thrown, "read").message).toBe(`cannot read: ${expected} (${code})`);
  });

  test("of a file system without O_TMPFILE has the name that the code compares with", () => {
    const O_TMPFILE_RDWR = 0o20200002;
    const proc = openSync("/proc", "r");
    let thrown: unknown;
    try {
      openAt(proc, Buffer.from("."), O_TMPFILE_RDWR, 0o600);
    } catch (error) {
      thrown = error;
    } finally {
      closeSync(proc);
    }
    expect(reasonOf(thrown)).toEqual({ errno: "EOPNOTSUPP", message: "operation not supported" });
  });
});
