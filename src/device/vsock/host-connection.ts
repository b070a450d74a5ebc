/** What both kinds of connections have on the host's side: a socket, and its state vsock. */
import { closeDescriptor, readDescriptor, shutdownRead, shutdownWrite } from "../../ffi/socket.ts";
import { type Connection, State } from "../../protocols/virtio-vsock/connection.ts";
import { ERRNO } from "../../ffi/errno.ts";
import type { PacketHeader } from "../../protocols/virtio-vsock/packet.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import type { TxPacket } from "./tx-packet.ts";

/** No descriptor: the host's side is not connected yet. */
const NONE = -1;

/** Unread bytes of a socket are dropped in pieces of this size, in bytes. */
const SCRAP_BYTES = 64 * 1024;

/** Most pieces: more than the buffers of a Unix socket hold. */
const MAX_SCRAPS = 64;

let scrap: Uint8Array | undefined;

/** A connection of a guest with a socket of the host. */
export abstract class HostConnection {
  readonly vsock: Connection;
  /** Whether the guest began it. */
  readonly isFromGuest: boolean;
  /** When it began, by performance.now(). */
  readonly since = performance.now();
  bytesToGuest = 0;
  bytesFromGuest = 0;
  /** The next in the muxer's list of those with something to tell. */
  nextListed: HostConnection | undefined;
  /** Whether the muxer has it in that list. */
  isListed = false;
  /** Whether the muxer has it among those whose data has to wait. */
  isHeld = false;
  /** Told once the guest has answered the host's request. */
  onOpened: (() => void) | undefined;
  /**
   * When it is killed unless the guest has answered, by performance.now(): the host's request, or the
   * end of both sides. Undefined: never.
   */
  deadline: number | undefined;
  /** Whether the socket's end of input has been seen by epoll: a read may still find bytes. */
  hasEnd = false;
  /** Whether epoll is to tell of room in the socket. */
  watchesRoom = false;
  #fd = NONE;
  #endsOutput = false;
  #isClosed = false;
  #isDraining = false;

  constructor(vsock: Connection, isFromGuest: boolean) {
    this.vsock = vsock;
    this.isFromGuest = isFromGuest;
  }

  /** The socket; only where {@link isConnected}. */
  get fd(): number {
    return this.#fd;
  }

  /** Whether there is a socket, and a guest for it. */
  get isConnected(): boolean {
    return this.#fd !== NONE && !this.#isClosed && !this.#isDraining;
  }

  /** Whether the guest is done with it, and its last bytes wait for a slow reader. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Whether its socket is closed, or will never be there. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The host's side is connected. */
  attach(fd: number): void {
    this.#fd = fd;
  }

  /** Whether something of the guest waits for room in the socket. */
  get needsRoom(): boolean {
    return this.isConnected && this.waiting > 0;
  }

  /** What of the guest waits for the socket: bytes or records. */
  abstract get waiting(): number;

  /** The same in bytes. */
  abstract get waitingBytes(): number;

  /** Forgets what waits, which the guest may count as read. */
  protected abstract dropWaiting(): void;

  /**
   * Sends the payload of an Rw packet on. The vsock has seen to it that there is room.
   *
   * @param packet whose payload has at least `bytes` bytes.
   */
  abstract forward(packet: TxPacket, bytes: number): void;

  /** The socket takes bytes again. */
  abstract flush(): void;

  /**
   * Moves bytes of the socket into packets for the guest, as far as credit and room go. Where there
   * are none now, or none any more, the vsock knows it afterwards.
   *
   * @param header to be used for them.
   * @returns the count of packets.
   */
  abstract fill(room: RxBuffers, header: PacketHeader, guestCid: number): number;

  /** The guest reads no more: the host's writer gets EPIPE, and what it has written is dropped. */
  endInput(): void {
    shutdownRead(this.#fd);
    this.dropInput();
  }

  /** Drops what the host has written. */
  dropInput(): void {
    scrap ??= new Uint8Array(SCRAP_BYTES);
    // Closed with unread bytes, a Unix socket would end with ECONNRESET for its peer.
    for (let pieces = 0; pieces < MAX_SCRAPS; pieces++) {
      if (readDescriptor(this.#fd, scrap) <= 0) return;
    }
  }

  /**
   * A write has failed: where the socket's peer reads no more, what it has written is still the
   * guest's.
   */
  protected onWriteError(errno: number): void {
    if (errno === ERRNO.EPIPE || errno === ERRNO.ECONNRESET) this.vsock.onHostReadShutdown();
    else this.vsock.kill();
    this.dropWaiting();
  }

  /** A read has found no bytes: at the end of input, for now, or because of an error. */
  protected onNothingRead(count: number): void {
    const { vsock } = this;
    if (count === 0) vsock.onHostEnd();
    else if (count === -ERRNO.EAGAIN) vsock.onDrained();
    else if (count === -ERRNO.ECONNRESET) {
      // The peer has closed with unread bytes: its own have all been read, unix(7).
      vsock.onHostClosed(false);
      vsock.onHostEnd();
    } else if (count !== -ERRNO.EINTR) vsock.kill();
  }

  /**
   * The guest is done with the connection, or has disconnected: what waits still goes to the socket,
   * from {@link flush}, and nothing else.
   */
  drain(): void {
    this.#isDraining = true;
    this.#endsOutput = true;
    this.endInput();
  }

  /** No more bytes of the guest will come: the socket is told behind what waits. */
  endOutput(): void {
    this.#endsOutput = true;
    this.shutdownIfDone();
  }

  /** The half-close, once nothing waits any more. */
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
    if (this.vsock.state !== State.Dead) this.vsock.kill();
  }
}
