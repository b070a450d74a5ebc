/** Netlink sockets, netlink(7): datagrams to and from the kernel. */
import { VsockboxError } from "../errors.ts";
import { ERRNO, systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";
import { closeDescriptor, openSocket, pollDescriptor, POLLIN, setOption } from "./socket.ts";

/** AF_NETLINK, bits/socket.h. */
const AF_NETLINK = 16;
/** SOCK_RAW, bits/socket_type.h. */
const SOCK_RAW = 3;

/** Protocols of netlink, linux/netlink.h. */
export const NetlinkProtocol = { Route: 0, SockDiag: 4 } as const;

/** SOL_NETLINK and its options, linux/socket.h and linux/netlink.h. */
const SOL_NETLINK = 270;
/** The kernel quotes only the header of a request that failed (Linux 4.3). */
const NETLINK_CAP_ACK = 10;
/** The kernel explains errors in attributes (Linux 4.12). */
const NETLINK_EXT_ACK = 11;

/** struct sockaddr_nl: u16 family, u16 0, u32 port, u32 groups. */
const SOCKADDR_NL_BYTES = 12;
const PORT_OFFSET = 4;

/** sizeof(struct msghdr) on 64-bit architectures. */
const MSGHDR_BYTES = 56;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;

/** Size of the receive buffer, in bytes: twice the largest datagram of a dump, af_netlink.c. */
const BUFFER_BYTES = 64 * 1024;

/** A socket to one subsystem of the kernel. */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  readonly #sender = new DataView(new ArrayBuffer(SOCKADDR_NL_BYTES));
  readonly #iovec = new DataView(new ArrayBuffer(16));
  readonly #message = new DataView(new ArrayBuffer(MSGHDR_BYTES));

  /**
   * @param protocol one of {@link NetlinkProtocol}.
   * @param name what the socket is for, for errors: "netlink socket_diag".
   * @throws {VsockboxError} UNAVAILABLE if the kernel has no such protocol.
   */
  constructor(
    protocol: number,
    readonly name: string,
  ) {
    this.#fd = openSocket(AF_NETLINK, SOCK_RAW, name, protocol);
    // Kernels without these options send errors without a text.
    const isOn = new Uint8Array(Uint32Array.of(1).buffer);
    setOption(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, isOn);
    setOption(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, isOn);
    this.#iovec.setBigUint64(0, BigInt(ptr(this.#buffer)), true);
    this.#iovec.setBigUint64(8, BigInt(BUFFER_BYTES), true);
  }

  /**
   * Sends one datagram to the kernel, which has processed the request when this returns.
   *
   * @throws {VsockboxError} IO, REFUSED with the errno.
   */
  send(datagram: Uint8Array): void {
    const count = Number(libc().send(this.#fd, ptr(datagram), datagram.length, MSG_DONTWAIT));
    if (count < 0) throw systemError(lastErrno(), { operation: "send to", address: this.name });
  }

  /**
   * Waits for the next datagram of the kernel. Datagrams of other processes are dropped.
   *
   * @param timeoutMs how long this thread may block, in milliseconds.
   * @returns a copy of the datagram.
   * @throws {VsockboxError} TIMEOUT; BAD_DATA if it is longer than 64 KiB; IO with ENOBUFS if
   * the kernel has dropped datagrams.
   */
  receive(timeoutMs: number): Uint8Array {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const leftMs = Math.max(0, end - performance.now());
      const isReady = pollDescriptor(this.#fd, POLLIN, Math.ceil(leftMs)) !== 0;
      if (!isReady && leftMs > 0) continue;
      if (!isReady) throw this.#error("TIMEOUT", `no answer in ${timeoutMs} ms`);
      const datagram = this.#receiveNow();
      if (datagram !== undefined) return datagram;
    }
  }

  /** Closes the socket. */
  close(): void {
    closeDescriptor(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Returns undefined if there is no datagram, or it is not the kernel's. */
  #receiveNow(): Uint8Array | undefined {
    this.#message.setBigUint64(0, BigInt(ptr(this.#sender)), true);
    this.#message.setUint32(8, SOCKADDR_NL_BYTES, true);
    this.#message.setBigUint64(16, BigInt(ptr(this.#iovec)), true);
    this.#message.setBigUint64(24, 1n, true);
    const count = Number(libc().recvmsg(this.#fd, ptr(this.#message), MSG_DONTWAIT));
    if (count < 0) {
      const errno = lastErrno();
      if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return undefined;
      throw systemError(errno, { operation: "receive from", address: this.name });
    }
    if (this.#sender.getUint32(PORT_OFFSET, true) !== 0) return undefined;
    if ((this.#message.getUint32(48, true) & MSG_TRUNC) !== 0) {
      throw this.#error("BAD_DATA", `a datagram exceeds ${BUFFER_BYTES} bytes`);
    }
    return this.#buffer.slice(0, count);
  }

  #error(code: "TIMEOUT" | "BAD_DATA", message: string): VsockboxError {
    return new VsockboxError({ code, operation: "receive from", address: this.name, message });
  }
}
