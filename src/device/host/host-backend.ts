/** What is on the host's side of a device: clients that come, and services that the guest reaches. */
import type { PacketType } from "../../protocols/virtio-vsock/packet.ts";

/** A client of the host that wants a port of the guest. */
export interface HostClient {
  /** Connected and non-blocking; whoever takes the client over closes it. */
  fd: number;
  /** The guest's port. */
  port: number;
  /** PacketType. */
  type: PacketType;
  /** Called when the guest has accepted, with the host's port of the connection. */
  onOpened?: (hostPort: number) => void;
}

/** Takes a client over; false is for no, and leaves the descriptor with whoever asked. */
export type AcceptClient = (client: HostClient) => boolean;

/** The host's side of one VM. */
export interface HostBackend {
  /**
   * Connects for a request of the guest.
   *
   * @param type PacketType.
   * @param answer called once, at once or later: with a connected, non-blocking descriptor that is
   * the caller's, or with undefined where nobody listens.
   */
  dial(port: number, type: PacketType, answer: (fd: number | undefined) => void): void;
  /** Called after every round of the loop, for deadlines; `now` by performance.now(). */
  onTime(now: number): void;
  /** How many clients have not said yet what they want, and how many dials have no answer yet. */
  readonly pending: number;
  /** Clients that were closed before it was known what they want; undefined where all say it. */
  readonly dropped?: number;
  /** Stops listening, gives up what is pending, and removes what was made. */
  close(): void;
}
