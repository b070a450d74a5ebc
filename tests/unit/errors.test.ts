import { describe, expect, test } from "bun:test";
import {
  commandLineError,
  EXIT_STATUS,
  invalidValue,
  OutputError,
  toVsockboxError,
  VsockboxError,
} from "../../src/errors.ts";
import { isBrokenPipe } from "../../src/io/stdio.ts";
import type { Operation } from "../../src/operations.ts";

describe("VsockboxError", () => {
  test("names the operation, its object, the reason and the errno", () => {
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

  test("has its reason alone, and a text for peers with the Go agent's frames", () => {
    const details = { code: "IO", operation: "connect", message: "refused" } as const;
    const error = new VsockboxError({ ...details, address: "unix:/x", errno: "ECONNREFUSED" });
    expect([error.message, error.reason, error.wireText]).toEqual([
      "cannot connect to unix:/x: refused (ECONNREFUSED)",
      "refused",
      "connect unix:/x: refused (ECONNREFUSED)",
    ]);
    expect(new VsockboxError(details).wireText).toBe("connect: refused");
    const { message, wireText } = error.withHint("h");
    expect([message, wireText]).toEqual([error.message, error.wireText]);
    expect(new VsockboxError({ code: "IO", operation: "read" }).message).toBe(
      "cannot read: failed",
    );
  });

  test("shows the text of a peer as it is, and repeats no errno that the reason has", () => {
    const peer = new VsockboxError({ code: "IO", operation: "read", text: "open /x: denied" });
    expect([peer.message, peer.reason, peer.wireText, peer.withHint("h").message]).toEqual(
      Array.from({ length: 4 }, () => "open /x: denied"),
    );
    const details = { code: "IO", operation: "read", address: "/x", errno: "EIO" } as const;
    expect(new VsockboxError({ ...details, message: "EIO in the disk" }).message).toBe(
      "cannot read /x: EIO in the disk",
    );
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

describe("the error about a command line", () => {
  test("begins with the command, if one is known", () => {
    const error = commandLineError("cp", "the destination is missing", "a hint");
    expect(error.toJSON()).toEqual({
      code: "USAGE",
      message: "cp: the destination is missing",
      operation: "cp",
      hint: "a hint",
    });
    expect(commandLineError(undefined, "unknown command").message).toBe("unknown command");
  });

  test("shows an invalid value, its location and the expectation", () => {
    const problem = { value: 'a"b', name: "--timeout", message: "expected a duration" };
    expect(invalidValue(problem).toJSON()).toEqual({
      code: "USAGE",
      message: 'invalid value "a\\"b" for --timeout: expected a duration',
      operation: "parse",
      address: "--timeout",
    });
    expect(invalidValue({ ...problem, code: "CONFIG", hint: "h" })).toMatchObject({
      code: "CONFIG",
      hint: "h",
    });
  });
});

describe("the error of standard output", () => {
  const reason = { errno: "EPIPE", message: "broken pipe" };

  test("names the output", () => {
    expect([1 as const, 2 as const].map((fd) => new OutputError(fd, reason).message)).toEqual([
      "cannot write to standard output: broken pipe (EPIPE)",
      "cannot write to standard error: broken pipe (EPIPE)",
    ]);
  });

  test("is not that of a connection with the same text", () => {
    const { code, operation, address } = new OutputError(1, reason);
    const connection = new VsockboxError({ code, operation, address, ...reason });
    expect([new OutputError(1, reason), connection].map(isBrokenPipe)).toEqual([true, false]);
    expect(isBrokenPipe(new OutputError(1, { ...reason, errno: "ENOSPC" }))).toBe(false);
  });

  test("is not printed as JSON, unlike that of a connection", () => {
    const code = `
      import { OutputError, VsockboxError } from "${import.meta.dir}/../../src/errors.ts";
      import { printJsonError } from "${import.meta.dir}/../../src/commands/shared/json-error.ts";
      printJsonError(new OutputError(1, { errno: "EPIPE", message: "broken pipe" }));
      printJsonError(new VsockboxError({ code: "TRANSPORT", operation: "write to" }));`;
    const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", code]);
    expect(stderr.toString()).toBe("");
    const lines = stdout.toString().trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { error: expect.objectContaining({ code: "TRANSPORT", message: "cannot write to: failed" }) },
    ]);
  });
});

describe("toVsockboxError", () => {
  test("keeps our own errors", () => {
    const error = new VsockboxError({ code: "IO", operation: "read" });
    expect(toVsockboxError(error)).toBe(error);
  });

  test("uses the errno of the runtime's errors", () => {
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
    const ofRuntime = Object.assign(new Error("bad argument"), { code: "ERR_INVALID_ARG" });
    expect(toVsockboxError(ofRuntime).toJSON()).toMatchObject({
      code: "SOFTWARE",
      message: "internal error: bad argument",
    });
    expect(toVsockboxError(new TypeError("x is not a function")).code).toBe("SOFTWARE");
    expect(toVsockboxError("text").code).toBe("SOFTWARE");
  });
});
