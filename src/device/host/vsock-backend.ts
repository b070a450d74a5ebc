/**
 * The host's side of a device over AF_VSOCK: the guest's connections are forwarded to a CID of the host's
 * own vsock, and ports of the host are forwarded to the same ports of the guest.
 */
import { AF_VSOCK, encodeSockaddrVm } from "../../ffi/sockaddr.ts";
import { closeDescriptor, SOCK_SEQPACKET, SOCK_STREAM } from "../../ffi/socket.ts";
import { ANY, formatAddress } from "../../net/address.ts";
import { PacketType } from "../../protocols/virtio-vsock/packet.ts";
import { Acceptor } from "../../io/acceptor.ts";
import type { ListenerSource } from "./listening-sockets.ts";
import { PendingConnects } from "./pending-connects.ts";
import type { EventLoop } from "../../io/event-loop.ts";
import type { HostBackend, AcceptClient } from "./host-backend.ts";

/** Options of {@link VsockBackend}. */
export interface VsockBackendOptions {
  /** The CID that the guest's connections go to. */
  forwardCid: number;
  /** Stream ports that listen on any CID of the host. */
  forwardListen: readonly number[];
  /** Seqpacket ports that listen on any CID of the host. */
  forwardListenSeqpacket?: readonly number[];
}

/** Host clients and host services of one VM, all on AF_VSOCK. */
export class VsockBackend implements HostBackend {
  readonly #loop: EventLoop;
  readonly #forwardCid: number;
  readonly #acceptClient: AcceptClient;
  readonly #connects: PendingConnects;
  readonly #listeners: number[] = [];
  readonly #acceptors: Acceptor[] = [];
  readonly #warn: (message: string) => void;

  /**
   * Accepts from the first round of the loop on.
   *
   * @param warn reports faults of the sockets.
   */
  constructor(
    loop: EventLoop,
    options: VsockBackendOptions,
    listeners: ListenerSource,
    acceptClient: AcceptClient,
    warn: (message: string) => void,
  ) {
    this.#warn = warn;
    this.#loop = loop;
    this.#forwardCid = options.forwardCid;
    this.#acceptClient = acceptClient;
    this.#connects = new PendingConnects(loop);
    for (const port of options.forwardListen) {
      this.#listen(listeners.vsock(port, false), port, PacketType.Stream);
    }
    for (const port of options.forwardListenSeqpacket ?? []) {
      this.#listen(listeners.vsock(port, true), port, PacketType.Seqpacket);
    }
  }

  #listen(fd: number, port: number, type: PacketType): void {
    const address = formatAddress({ kind: "vsock", cid: ANY, port });
    this.#listeners.push(fd);
    const onAccept = (client: number) => {
      if (!this.#acceptClient({ fd: client, port, type })) closeDescriptor(client);
    };
    const options = { fd, address, onAccept, warn: this.#warn };
    this.#acceptors.push(new Acceptor(this.#loop, options));
  }

  dial(port: number, type: PacketType, onDialled: (fd: number | undefined) => void): void {
    const cid = this.#forwardCid;
    this.#connects.start(
      {
        family: AF_VSOCK,
        socketType: type === PacketType.Seqpacket ? SOCK_SEQPACKET : SOCK_STREAM,
        sockaddr: encodeSockaddrVm({ cid, port }),
        address: formatAddress({ kind: "vsock", cid, port }),
      },
      onDialled,
    );
  }

  onTime(now: number): void {
    for (const acceptor of this.#acceptors) acceptor.onTime(now);
    this.#connects.onTime(now);
  }

  get pending(): number {
    return this.#connects.count;
  }

  close(): void {
    this.#connects.close();
    for (const acceptor of this.#acceptors) acceptor.close();
    for (const fd of this.#listeners) closeDescriptor(fd);
  }
}
