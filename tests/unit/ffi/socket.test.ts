import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ERRNO } from "../../../src/ffi/errno.ts";
import { AF_UNIX, decodeSockaddrUn, encodeSockaddrUn } from "../../../src/ffi/sockaddr.ts";
import {
  acceptSocket,
  bindSocket,
  closeDescriptor,
  isPeerClosed,
  listenSocket,
  localSockaddr,
  openPipe,
  openSocket,
  PIPE_BYTES,
  pollDescriptor,
  POLLIN,
  POLLOUT,
  readDescriptor,
  shutdownWrite,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  socketError,
  startConnect,
  writeDescriptor,
} from "../../../src/ffi/socket.ts";

const path = join(tmpdir(), `vsockbox-socket-${process.pid}.sock`);
const call = { operation: "use", address: path } as const;
const open: number[] = [];
const own = (fd: number) => {
  open.push(fd);
  return fd;
};
afterEach(() => {
  for (const fd of open.splice(0)) closeDescriptor(fd);
  rmSync(path, { force: true });
});

function connectedPair(type = SOCK_STREAM): [client: number, server: number] {
  const listener = own(openSocket(AF_UNIX, type, path));
  bindSocket(listener, encodeSockaddrUn(path), call);
  listenSocket(listener, call);
  expect(acceptSocket(listener, call)).toBeUndefined();
  const client = own(openSocket(AF_UNIX, type, path));
  expect(startConnect(client, encodeSockaddrUn(path))).toBe(0);
  expect(pollDescriptor(listener, POLLIN, 1000)).toBe(POLLIN);
  return [client, own(acceptSocket(listener, call) ?? -1)];
}

const flagsOf = (fd: number) =>
  Number.parseInt(
    /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "",
    8,
  );

describe("socket calls", () => {
  test("connect, accept, read, write and half-close", () => {
    const [client, server] = connectedPair();
    expect(pollDescriptor(client, POLLOUT, 0)).toBe(POLLOUT);
    expect(socketError(client)).toBe(0);
    expect(writeDescriptor(client, Uint8Array.of(1, 2, 3))).toBe(3);
    shutdownWrite(client);
    const buffer = new Uint8Array(10);
    expect(readDescriptor(server, buffer)).toBe(3);
    expect([...buffer.subarray(0, 3)]).toEqual([1, 2, 3]);
    expect(readDescriptor(server, buffer)).toBe(0);
    expect(isPeerClosed(server)).toBe(false);
    expect(readDescriptor(client, buffer)).toBe(-11);
  });

  test("a closed peer is distinguished from a half-closed one", () => {
    const [client, server] = connectedPair();
    shutdownWrite(client);
    expect(isPeerClosed(server)).toBe(false);
    closeDescriptor(client);
    open.splice(open.indexOf(client), 1);
    expect(isPeerClosed(server)).toBe(true);
  });

  test("a half-closed peer of packets receives none by the question whether it has closed", () => {
    const [client, server] = connectedPair(SOCK_SEQPACKET);
    shutdownWrite(client);
    expect(isPeerClosed(server)).toBe(false);
    expect(readDescriptor(client, new Uint8Array(10))).toBe(-ERRNO.EAGAIN);
    closeDescriptor(client);
    open.splice(open.indexOf(client), 1);
    expect(isPeerClosed(server)).toBe(true);
  });

  test("every descriptor is non-blocking and close-on-exec", () => {
    for (const fd of connectedPair()) {
      expect(flagsOf(fd) & 0o4000).toBe(0o4000);
      expect(flagsOf(fd) & 0o2000000).toBe(0o2000000);
    }
  });

  test("getsockname returns the bound path", () => {
    connectedPair();
    expect(decodeSockaddrUn(localSockaddr(open[0] ?? -1) ?? new Uint8Array(0))).toBe(path);
  });

  test("errors carry the errno's name, the address and a code", () => {
    const listener = own(openSocket(AF_UNIX, SOCK_STREAM, path));
    expect(() => bindSocket(listener, encodeSockaddrUn(`${path}.none/x`), call)).toThrow("ENOENT");
    expect(() => acceptSocket(listener, call)).toThrow("EINVAL");
  });
});

describe("pipes", () => {
  test("are close-on-exec and have large buffers", () => {
    const { read, write } = openPipe();
    own(read);
    own(write);
    expect(readlinkSync(`/proc/self/fd/${read}`)).toStartWith("pipe:");
    expect(flagsOf(read) & 0o2000000).toBe(0o2000000);
    // Would block at the kernel's default of 64 KiB.
    expect(writeDescriptor(write, new Uint8Array(PIPE_BYTES))).toBe(PIPE_BYTES);
  });
});
