/** The host's side of a device: clients that connect to the guest, and services that the guest reaches. */
import type { PacketType } from "../../protocols/virtio-vsock/packet.ts";

/** A client on the host that connects to a port of the guest. */
export interface HostClient {
  /** Connected and non-blocking; owned by the function that accepts the client. */
  fd: number;
  /** The guest's port. */
  port: number;
  type: PacketType;
  /** Called when the guest has accepted, with the connection's port on the host's side. */
  onOpened?: (hostPort: number) => void;
}

/** Accepts a client and owns its descriptor; returns false, without owning it, if that is impossible. */
export type AcceptClient = (client: HostClient) => boolean;

/** The host's side of one VM. */
export interface HostBackend {
  /**
   * Connects for a request of the guest.
   *
   * @param onDialled called once, now or later: with a connected, non-blocking descriptor that is the
   * caller's, or with undefined if the service does not accept.
   */
  dial(port: number, type: PacketType, onDialled: (fd: number | undefined) => void): void;
  /** Called after every round of the loop, for deadlines; `now` by performance.now(). */
  onTime(now: number): void;
  /** Number of clients without a complete CONNECT line, and of connects without a result. */
  readonly pending: number;
  /** Number of clients that were closed before a complete CONNECT line; undefined if they send none. */
  readonly dropped?: number;
  /** Stops listening, ends pending clients and connects, and removes the socket files. */
  close(): void;
}
