import { describe, expect, test } from "bun:test";
import { systemError } from "../../../src/ffi/errno.ts";
import { openSocket, startConnect } from "../../../src/ffi/socket.ts";
import { AF_UNIX, AF_VSOCK, encodeSockaddrUn } from "../../../src/ffi/sockaddr.ts";
import { localCid } from "../../../src/ffi/vsock.ts";

describe("errno", () => {
  test("a failed call becomes one error with code, errno, operation, address and hint", () => {
    const error = systemError(111, { operation: "connect", address: "unix:/x", hint: "start it" });
    expect(error.toJSON()).toEqual({
      code: "UNAVAILABLE",
      errno: "ECONNREFUSED",
      operation: "connect",
      address: "unix:/x",
      hint: "start it",
      message: "cannot connect to unix:/x: connection refused (ECONNREFUSED)",
    });
    expect(error.exitStatus).toBe(69);
  });

  test("is read right after the call, 10,000 times", () => {
    const fd = openSocket(AF_UNIX, 1, "test");
    const sockaddr = encodeSockaddrUn("/nonexistent/vsockbox.sock");
    for (let count = 0; count < 10_000; count++) expect(startConnect(fd, sockaddr)).toBe(2);
  });
});

describe("VSOCKBOX_NO_VSOCK", () => {
  test("prevents tests on the host from opening AF_VSOCK", () => {
    expect(() => openSocket(AF_VSOCK, 1, "vsock:1:5000")).toThrow("switched off");
    expect(() => localCid()).toThrow("switched off");
  });
});
