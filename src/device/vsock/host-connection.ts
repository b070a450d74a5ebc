/**
 * One connection of a guest with a socket on the host: the base of streams and seqpacket connections.
 *
 * `vsock` is the guest's end (credit, pending packets, half-close), `fd` the host's end. Bytes of the
 * guest go through {@link HostConnection.forward} to the socket, and are queued if it does not accept
 * them; {@link HostConnection.fill} reads the socket into RX buffers.
 *
 * The host's end is connecting (no descriptor), connected, draining (the guest's end is closed, and
 * queued bytes of it wait for a slow reader) or closed.
 */
import { closeDescriptor, readDescriptor, shutdownRead, shutdownWrite } from "../../ffi/socket.ts";
import { type Connection, State } from "../../protocols/virtio-vsock/connection.ts";
import { ERRNO } from "../../ffi/errno.ts";
import type { PacketHeader } from "../../protocols/virtio-vsock/packet.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import type { TxPacket } from "./tx-packet.ts";

/** No descriptor: the host's end is not connected yet. */
const NONE = -1;

/** Unread bytes of a socket are dropped in pieces of this size, in bytes. */
const DISCARD_BYTES = 64 * 1024;

/** Limit of such pieces: more than the buffers of a Unix socket hold. */
const MAX_DISCARDS = 64;

let discarded: Uint8Array | undefined;

/** A connection of a guest with a socket on the host. */
export abstract class HostConnection {
  /** The state of the guest's end. */
  readonly vsock: Connection;
  /** Whether the guest has opened it. */
  readonly isFromGuest: boolean;
  /** Time of its start, by performance.now(). */
  readonly since = performance.now();
  bytesToGuest = 0;
  bytesFromGuest = 0;
  /** The next connection in the send queue. */
  nextQueued: HostConnection | undefined;
  /** Whether it is in the send queue. */
  isQueued = false;
  /** Called once the guest has answered the host's REQUEST. */
  onOpened: (() => void) | undefined;
  /** Called once its socket is closed. */
  onClosed: (() => void) | undefined;
  /** Time by which the guest has to answer, by performance.now(): see connection-timeouts.ts. */
  deadline: number | undefined;
  /** Whether epoll has reported the socket's end of input: a read may still return bytes. */
  hasEndOfInput = false;
  /** Whether epoll reports free space in the socket's buffer. */
  watchesWritable = false;
  #fd = NONE;
  #endsOutput = false;
  #isClosed = false;
  #isDraining = false;

  constructor(vsock: Connection, isFromGuest: boolean) {
    this.vsock = vsock;
    this.isFromGuest = isFromGuest;
  }

  /** The socket; only if {@link isConnected} or {@link isDraining}. */
  get fd(): number {
    return this.#fd;
  }

  /** Whether there is a socket, and a guest that uses it. */
  get isConnected(): boolean {
    return this.#fd !== NONE && !this.#isClosed && !this.#isDraining;
  }

  /** Whether the guest's end is closed while queued bytes wait for a slow reader. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Whether the socket is closed, or will never be opened. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Connects the host's end; the connection owns the descriptor. */
  attach(fd: number): void {
    this.#fd = fd;
  }

  /** How much is queued for the socket: bytes or records. */
  abstract get waiting(): number;

  /** How much is queued for the socket, in bytes. */
  abstract get waitingBytes(): number;

  /** Drops queued bytes; for the guest's credit they count as read. */
  protected abstract dropWaiting(): void;

  /** Unmaps memory that holds no queued bytes any more; called when the device is at rest. */
  abstract compact(): void;

  /** Frees the memory of queued bytes, which are lost. */
  protected abstract freeBuffers(): void;

  /**
   * Writes or queues the payload of an RW packet, which is within the guest's credit.
   *
   * @param packet whose payload has at least `bytes` bytes.
   */
  abstract forward(packet: TxPacket, bytes: number): void;

  /** Writes queued bytes or records, as far as the socket accepts them. */
  abstract flush(): void;

  /**
   * Reads from the socket into RX buffers, up to the guest's credit and buffers. Updates {@link vsock}
   * if the socket has no more bytes.
   *
   * @param header used for each packet.
   * @returns how many packets.
   */
  abstract fill(buffers: RxBuffers, header: PacketHeader, guestCid: number): number;

  /** Handles the guest's SHUTDOWN(receive): the writer on the host gets EPIPE; unread bytes are dropped. */
  endInput(): void {
    shutdownRead(this.#fd);
    this.dropInput();
  }

  /** Drops the socket's unread bytes. */
  dropInput(): void {
    discarded ??= new Uint8Array(DISCARD_BYTES);
    // If a Unix socket is closed with unread bytes, its peer gets ECONNRESET instead of the end.
    for (let pieces = 0; pieces < MAX_DISCARDS; pieces++) {
      if (readDescriptor(this.#fd, discarded) <= 0) return;
    }
  }

  /** Handles a failed write. If the peer reads no more, its unread bytes still go to the guest. */
  protected onWriteError(errno: number): void {
    if (errno === ERRNO.EPIPE || errno === ERRNO.ECONNRESET) this.vsock.onHostReadShutdown();
    else this.vsock.kill();
    this.dropWaiting();
  }

  /** Handles a read without bytes: end of input, nothing for now, or an error. */
  protected onNothingRead(count: number): void {
    const { vsock } = this;
    if (count === 0) vsock.onHostEnd();
    else if (count === -ERRNO.EAGAIN) vsock.onDrained();
    else if (count === -ERRNO.ECONNRESET) {
      // The peer has closed with unread bytes; its own have all been read, unix(7).
      vsock.onHostClosed(false);
      vsock.onHostEnd();
    } else if (count !== -ERRNO.EINTR) vsock.kill();
  }

  /** Closes the guest's end: {@link flush} still writes what is queued to the socket. */
  drain(): void {
    this.#isDraining = true;
    this.#endsOutput = true;
    this.endInput();
  }

  /** Handles the guest's SHUTDOWN(send): half-closes the socket after the queued bytes. */
  endOutput(): void {
    this.#endsOutput = true;
    this.shutdownIfDone();
  }

  /** Half-closes the socket if that is due and nothing is queued. */
  protected shutdownIfDone(): void {
    if (!this.#endsOutput || this.waiting > 0) return;
    this.#endsOutput = false;
    shutdownWrite(this.#fd);
  }

  /** Closes the socket at once. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#fd !== NONE) closeDescriptor(this.#fd);
    this.freeBuffers();
    this.onClosed?.();
    if (this.vsock.state !== State.Dead) this.vsock.kill();
  }
}
