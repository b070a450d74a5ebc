import { describe, expect, test } from "bun:test";
import { EXIT_STATUS, toVsockboxError, VsockboxError } from "../../src/errors.ts";
import type { Operation } from "../../src/operations.ts";

describe("VsockboxError", () => {
  test("says what was tried, on what, why it failed, and the errno", () => {
    const error = new VsockboxError({
      code: "UNAVAILABLE",
      operation: "connect",
      address: "vsock:3:5000",
      message: "no such device",
      errno: "ENODEV",
    });
    expect(error.message).toBe("cannot connect to vsock:3:5000: no such device (ENODEV)");
    expect(error.exitStatus).toBe(69);
  });

  test("keeps everything but the hint with another hint", () => {
    const details = {
      code: "CONFIG",
      operation: "look up",
      address: "x",
      errno: "ENOENT",
    } as const;
    const error = new VsockboxError({ ...details, message: "there is none", hint: "old" });
    expect(error.withHint("new").toJSON()).toEqual({ ...error.toJSON(), hint: "new" });
    expect(error.hint).toBe("old");
  });

  test("has the exit statuses of the design", () => {
    expect(EXIT_STATUS).toEqual({
      USAGE: 64,
      BAD_DATA: 65,
      UNAVAILABLE: 69,
      SOFTWARE: 70,
      CANNOT_CREATE: 73,
      IO: 74,
      TIMEOUT: 75,
      REFUSED: 77,
      CONFIG: 78,
      TRANSPORT: 255,
      NOT_STARTED: 125,
      ABORTED: 130,
    });
  });
});

describe("toVsockboxError", () => {
  test("keeps our own errors", () => {
    const error = new VsockboxError({ code: "IO", operation: "read" });
    expect(toVsockboxError(error)).toBe(error);
  });

  test("takes the errno of the runtime's errors", () => {
    const thrown = Object.assign(new Error("ENOENT: no such file"), { code: "ENOENT", path: "/x" });
    expect(toVsockboxError(thrown, "open").toJSON()).toMatchObject({ code: "IO", errno: "ENOENT" });
  });

  test("names the path, but not a descriptor's", () => {
    const at = (path: string) =>
      toVsockboxError(Object.assign(new Error("EACCES: denied"), { code: "EACCES", path })).address;
    expect([at("/x"), at("/proc/self/fd/7"), at("/proc/self/fd/7/name")]).toEqual([
      "/x",
      undefined,
      undefined,
    ]);
    expect([at("/proc/12/fd/7/name"), at("/proc/self/fdinfo/7")]).toEqual([
      undefined,
      "/proc/self/fdinfo/7",
    ]);
  });

  test("names the system call if nothing else names the operation", () => {
    const at = (syscall: unknown, named?: Operation) =>
      toVsockboxError(Object.assign(new Error("EISDIR: x"), { code: "EISDIR", syscall }), named)
        .message;
    expect([at("read"), at(""), at(undefined), at("read", "read standard input")]).toEqual([
      "cannot read: is a directory (EISDIR)",
      "cannot perform a system call: is a directory (EISDIR)",
      "cannot perform a system call: is a directory (EISDIR)",
      "cannot read standard input: is a directory (EISDIR)",
    ]);
    expect(toVsockboxError(new TypeError("x is not a function")).message).toBe(
      "internal error: x is not a function",
    );
  });

  test("calls everything else a defect", () => {
    expect(toVsockboxError(new TypeError("x is not a function")).code).toBe("SOFTWARE");
    expect(toVsockboxError("text").code).toBe("SOFTWARE");
  });
});
