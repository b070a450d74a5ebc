/**
 * The AF_VSOCK side of a device: the guest's connections go on to another CID, and ports of the host
 * lead to the guest's same ports.
 */
import { EPOLLIN } from "../ffi/epoll.ts";
import { AF_VSOCK, encodeSockaddrVm } from "../ffi/sockaddr.ts";
import { acceptSocket, closeDescriptor, SOCK_SEQPACKET, SOCK_STREAM } from "../ffi/socket.ts";
import { ANY, formatAddress } from "../net/address.ts";
import { openVsockListener } from "../net/listen.ts";
import { PacketType } from "../protocols/virtio-vsock/packet.ts";
import { Dials } from "./dials.ts";
import type { EventLoop } from "./event-loop.ts";
import type { HostBackend, TakeClient } from "./host-backend.ts";

/** Where a {@link VsockBackend} leads. */
export interface VsockBackendOptions {
  forwardCid: number;
  /** Ports of the host for the guest's stream ports, on any of the host's CIDs. */
  forwardListen: readonly number[];
  /** The same for its seqpacket ports. */
  forwardListenSeqpacket?: readonly number[];
}

/** Host clients and host services of one VM, all on AF_VSOCK. */
export class VsockBackend implements HostBackend {
  readonly #loop: EventLoop;
  readonly #forwardCid: number;
  readonly #takeClient: TakeClient;
  readonly #dials: Dials;
  readonly #listeners: number[] = [];

  /**
   * Listens at once.
   *
   * @throws {VsockboxError} CANNOT_CREATE, UNAVAILABLE (no vsock in this kernel), REFUSED.
   */
  constructor(loop: EventLoop, options: VsockBackendOptions, takeClient: TakeClient) {
    this.#loop = loop;
    this.#forwardCid = options.forwardCid;
    this.#takeClient = takeClient;
    this.#dials = new Dials(loop);
    try {
      for (const port of options.forwardListen) this.#listen(port, PacketType.Stream);
      for (const port of options.forwardListenSeqpacket ?? []) {
        this.#listen(port, PacketType.Seqpacket);
      }
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  #listen(port: number, type: number): void {
    const address = { kind: "vsock", cid: ANY, port } as const;
    const fd = openVsockListener(address, type === PacketType.Seqpacket);
    this.#listeners.push(fd);
    this.#loop.add(fd, EPOLLIN, () => {
      const call = { operation: "accept on", address: formatAddress(address) };
      for (;;) {
        const client = acceptSocket(fd, call);
        if (client === undefined) return;
        if (!this.#takeClient({ fd: client, port, type })) closeDescriptor(client);
      }
    });
  }

  dial(port: number, type: number, answer: (fd: number | undefined) => void): void {
    const cid = this.#forwardCid;
    this.#dials.start(
      {
        family: AF_VSOCK,
        socketType: type === PacketType.Seqpacket ? SOCK_SEQPACKET : SOCK_STREAM,
        sockaddr: encodeSockaddrVm({ cid, port }),
        address: formatAddress({ kind: "vsock", cid, port }),
      },
      answer,
    );
  }

  onTime(now: number): void {
    this.#dials.onTime(now);
  }

  get pending(): number {
    return this.#dials.count;
  }

  close(): void {
    this.#dials.close();
    for (const fd of this.#listeners) {
      this.#loop.remove(fd);
      closeDescriptor(fd);
    }
  }
}
