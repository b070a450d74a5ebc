/**
 * A peer on plain system calls: it reads only when asked, so a test decides which bytes are unread when
 * it closes, and it can reset its connection.
 */
import { ERRNO } from "../../src/ffi/errno.ts";
import { AF_INET, AF_UNIX, encodeSockaddrUn } from "../../src/ffi/sockaddr.ts";
import {
  acceptSocket,
  bindSocket,
  closeDescriptor,
  listenSocket,
  localSockaddr,
  openSocket,
  pollDescriptor,
  POLLERR,
  POLLIN,
  POLLOUT,
  readDescriptor,
  setOption,
  shutdownWrite,
  SOCK_STREAM,
  startConnect,
  unsentBytes,
  writeDescriptor,
} from "../../src/ffi/socket.ts";
import { eventually } from "./eventually.ts";

const SOL_SOCKET = 1;
const SO_LINGER = 13;

/** The path of a Unix socket, or a port of 127.0.0.1. */
export type PeerAddress = string | number;

function sockaddrOf(address: PeerAddress): Uint8Array {
  if (typeof address === "string") return encodeSockaddrUn(address);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, address);
  bytes.set([127, 0, 0, 1], 4);
  return bytes;
}

function socketFor(address: PeerAddress): number {
  return openSocket(typeof address === "string" ? AF_UNIX : AF_INET, SOCK_STREAM, String(address));
}

/** How a connection looks to its reader: all bytes until the end, and "end" or the errno's name. */
export interface Received {
  bytes: number;
  end: string;
}

/** One end of a connection. */
export class SocketPeer implements Disposable {
  readonly #fd: number;
  readonly isTcp: boolean;
  #isClosed = false;

  constructor(fd: number, isTcp: boolean) {
    this.#fd = fd;
    this.isTcp = isTcp;
  }

  static async connect(address: PeerAddress): Promise<SocketPeer> {
    const fd = socketFor(address);
    const result = startConnect(fd, sockaddrOf(address));
    if (result !== 0 && result !== ERRNO.EINPROGRESS) throw new Error(`connect: errno ${result}`);
    await eventually("connected", () => pollDescriptor(fd, POLLOUT, 0) !== 0);
    return new SocketPeer(fd, typeof address === "number");
  }

  /** Writes without waiting; returns the number of accepted bytes. */
  tryWrite(bytes: Uint8Array): number {
    const count = writeDescriptor(this.#fd, bytes);
    if (count >= 0) return count;
    if (count === -ERRNO.EAGAIN) return 0;
    throw new Error(`write: errno ${-count}`);
  }

  /** Writes so many bytes; resolves when the other end's kernel has them. */
  async write(bytes: number): Promise<void> {
    let rest = bytes;
    await eventually(`${bytes} bytes written`, () => {
      while (rest > 0) {
        const count = this.tryWrite(new Uint8Array(Math.min(rest, 65_536)));
        if (count === 0) return false;
        rest -= count;
      }
      return true;
    });
    if (this.isTcp) await eventually("all bytes received", () => unsentBytes(this.#fd) === 0);
  }

  /** Writes until the other end accepts no more bytes for a while. */
  async fill(): Promise<void> {
    const bytes = new Uint8Array(65_536);
    let fullSince = performance.now();
    await eventually("the other end stops reading", () => {
      while (this.tryWrite(bytes) > 0) fullSince = performance.now();
      return performance.now() - fullSince > 300;
    });
  }

  /** Reads exactly so many bytes. */
  async read(bytes: number): Promise<void> {
    const buffer = new Uint8Array(bytes);
    let filled = 0;
    await eventually(`${bytes} bytes read`, () => {
      const count = readDescriptor(this.#fd, buffer.subarray(filled));
      if (count === 0) throw new Error(`end of input after ${filled} of ${bytes} bytes`);
      if (count > 0) filled += count;
      return filled === bytes;
    });
  }

  /**
   * Reads until the end.
   *
   * @param isSlow reads 64 KiB at a time with pauses.
   */
  async readAll({ isSlow = false } = {}): Promise<Received> {
    const buffer = new Uint8Array(65_536);
    let bytes = 0;
    let end = "";
    await eventually("end of input", () => {
      for (;;) {
        const count = readDescriptor(this.#fd, buffer);
        if (count === -ERRNO.EAGAIN) return false;
        if (count > 0) {
          bytes += count;
          if (isSlow) return false;
          continue;
        }
        const name = Object.entries(ERRNO).find(([, errno]) => errno === -count)?.[0];
        end = count === 0 ? "end" : (name ?? String(count));
        return true;
      }
    });
    return { bytes, end };
  }

  /** Whether bytes or the end of input are unread. */
  get hasInput(): boolean {
    return pollDescriptor(this.#fd, POLLIN, 0) !== 0;
  }

  /** Whether the connection is reset, although its input has ended before. */
  get isReset(): boolean {
    return (pollDescriptor(this.#fd, 0, 0) & POLLERR) !== 0;
  }

  /** Half-closes. */
  end(): void {
    shutdownWrite(this.#fd);
  }

  /** Closes with a reset: by SO_LINGER over TCP; a Unix socket must have unread bytes for that. */
  reset(): void {
    if (this.isTcp)
      setOption(this.#fd, SOL_SOCKET, SO_LINGER, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (!this.#isClosed) closeDescriptor(this.#fd);
    this.#isClosed = true;
  }
}

/** A listening socket whose connections are accepted one by one. */
export class SocketPeerListener implements Disposable {
  readonly address: PeerAddress;
  readonly #fd: number;

  /** @param address port 0 is one that the kernel chooses. */
  constructor(address: PeerAddress) {
    this.#fd = socketFor(address);
    bindSocket(this.#fd, sockaddrOf(address), { operation: "bind" });
    listenSocket(this.#fd, { operation: "listen" });
    const bound = localSockaddr(this.#fd);
    if (typeof address === "string" || bound === undefined) this.address = address;
    else this.address = new DataView(bound.buffer, bound.byteOffset).getUint16(2);
  }

  async accept(): Promise<SocketPeer> {
    let fd: number | undefined;
    await eventually("a connection", () => {
      fd = acceptSocket(this.#fd, { operation: "accept" });
      return fd !== undefined;
    });
    return new SocketPeer(fd ?? -1, typeof this.address === "number");
  }

  [Symbol.dispose](): void {
    closeDescriptor(this.#fd);
  }
}
