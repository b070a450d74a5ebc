/** Two connected, non-blocking Unix sockets, for code that works on descriptors in an event loop. */
import { acceptSocket, closeDescriptor, openSocket, startConnect } from "../../src/ffi/socket.ts";
import { AF_UNIX, encodeUnixName } from "../../src/ffi/sockaddr.ts";
import { SOCK_SEQPACKET, SOCK_STREAM } from "../../src/ffi/socket.ts";
import { openListener } from "../../src/net/listen.ts";
import type { EventLoop } from "../../src/io/event-loop.ts";

let count = 0;

/** The two ends; closed when disposed, unless they were before. */
export class SocketPair implements Disposable {
  readonly near: number;
  readonly far: number;
  readonly #closed = new Set<number>();

  /** @param seqpacket keeps the boundaries of records. */
  constructor({ seqpacket = false } = {}) {
    const path = `@vsockbox-test-${process.pid}-${count++}`;
    const listener = openListener({ kind: "unix", path }, seqpacket);
    this.near = openSocket(AF_UNIX, seqpacket ? SOCK_SEQPACKET : SOCK_STREAM, path);
    startConnect(this.near, encodeUnixName(path));
    const call = { operation: "accept on", address: path } as const;
    this.far = acceptSocket(listener.fd, call) ?? -1;
    closeDescriptor(listener.fd);
  }

  /** Closes one end. */
  close(fd: number): void {
    if (this.#closed.has(fd)) return;
    this.#closed.add(fd);
    closeDescriptor(fd);
  }

  /** Leaves an end to code that closes it. */
  release(fd: number): number {
    this.#closed.add(fd);
    return fd;
  }

  [Symbol.dispose](): void {
    this.close(this.near);
    this.close(this.far);
  }
}

/** Runs rounds of a loop until the condition holds. */
export function runUntil(loop: EventLoop, what: string, condition: () => boolean): void {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`still not: ${what}`);
    loop.round(10);
  }
}
