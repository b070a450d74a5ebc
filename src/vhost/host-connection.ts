/** What both kinds of connections have on the host's side: a socket, and its state machine. */
import { closeDescriptor, shutdownWrite } from "../ffi/socket.ts";
import { type Connection, State } from "../protocols/virtio-vsock/connection.ts";
import type { PacketHeader } from "../protocols/virtio-vsock/packet.ts";
import type { PacketRoom } from "./packet-room.ts";
import type { SentPacket } from "./sent-packet.ts";

/** No descriptor: the host's side is not connected yet. */
const NONE = -1;

/** A connection of a guest with a socket of the host. */
export abstract class HostConnection {
  readonly machine: Connection;
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
  /** When it is killed whatever the guest does, by performance.now(); undefined: never. */
  deadline: number | undefined;
  /** Whether the socket's end of input has been seen by epoll: a read may still find bytes. */
  hasEnd = false;
  /** Whether epoll is to tell of room in the socket. */
  watchesRoom = false;
  #fd = NONE;
  #endsOutput = false;
  #isClosed = false;

  constructor(machine: Connection, isFromGuest: boolean) {
    this.machine = machine;
    this.isFromGuest = isFromGuest;
  }

  /** The socket; only where {@link isConnected}. */
  get fd(): number {
    return this.#fd;
  }

  /** Whether there is a socket. */
  get isConnected(): boolean {
    return this.#fd !== NONE && !this.#isClosed;
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

  /** What of the guest waits for the socket. */
  abstract get waiting(): number;

  /**
   * Sends the payload of an Rw packet on. The machine has seen to it that there is room.
   *
   * @param packet whose payload has at least `bytes` bytes.
   */
  abstract forward(packet: SentPacket, bytes: number): void;

  /** The socket takes bytes again. */
  abstract flush(): void;

  /**
   * Moves bytes of the socket into packets for the guest, as far as credit and room go. Where there
   * are none now, or none any more, the machine knows it afterwards.
   *
   * @param header to be used for them.
   * @returns the count of packets.
   */
  abstract fill(room: PacketRoom, header: PacketHeader, guestCid: number): number;

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
    if (this.machine.state !== State.Dead) this.machine.kill();
  }
}
