/**
 * VMs of one process that share a group reach each other by CID: their packets are passed on whole,
 * and only what begins and ends a connection is looked at, so that the end of one VM is told to the
 * others.
 */
import { Op } from "../../protocols/virtio-vsock/packet.ts";
import type { TxPacket } from "./tx-packet.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import type { PendingResets } from "./pending-resets.ts";
import { SiblingInbox } from "./sibling-inbox.ts";

/** What a VM of the process is to others. */
export interface SiblingDevice {
  readonly guestCid: number;
  /** Connections with others at once. */
  readonly maxConnections: number;
  readonly siblings: Siblings;
  /** RSTs for its guest. */
  readonly resets: PendingResets;
  /** Whether a guest's driver is there. */
  readonly isReady: boolean;
  /** Room with a chain of its guest; undefined where there is none now. */
  readonly nextRoom: () => RxBuffers | undefined;
  /** The guest has been given something, or there is something for it. */
  wake(): void;
}

/** What became of a packet. */
export const Passed = {
  /** It is the other VM's. */
  Yes: 0,
  /** There is no room: it is to be tried again. */
  Later: 1,
} as const;

/** A connection of this VM with another one. */
interface Flow {
  peer: SiblingDevice;
  port: number;
  peerPort: number;
  type: number;
}

const keyOf = (peerCid: number, port: number, peerPort: number) => `${peerCid} ${port} ${peerPort}`;

/** One VM's place among the others. */
export class Siblings {
  readonly inbox = new SiblingInbox();
  readonly #self: SiblingDevice;
  readonly #reachable = new Map<number, SiblingDevice>();
  readonly #flows = new Map<string, Flow>();

  constructor(self: SiblingDevice) {
    this.#self = self;
  }

  /** How many connections there are with other VMs. */
  get count(): number {
    return this.#flows.size;
  }

  /** Lets the guest reach another VM; both have to be told. */
  introduce(other: SiblingDevice): void {
    this.#reachable.set(other.guestCid, other);
  }

  /** Passes a packet of this VM's guest on, or answers it with an RST. */
  pass(packet: TxPacket): number {
    const { header } = packet;
    const peer = this.#reachable.get(header.dstCid);
    if (peer === undefined) return this.#refuse(packet);
    const isNew = header.op === Op.Request;
    if (isNew && !this.#begin(peer, packet)) return this.#refuse(packet);
    if (!isNew && !peer.siblings.#hasFlow(this.#self.guestCid, header.dstPort, header.srcPort)) {
      return this.#refuse(packet);
    }
    const { inbox } = peer.siblings;
    if (!inbox.take(packet, peer.nextRoom, performance.now())) {
      if (!inbox.isStuck) return Passed.Later;
      // Its guest does not read: this connection is over for both.
      this.#end(peer, header.srcPort, header.dstPort);
      peer.resets.push(header.srcCid, header.srcPort, header.dstPort, header.type);
      return this.#refuse(packet);
    }
    if (header.op === Op.Rst) this.#end(peer, header.srcPort, header.dstPort);
    peer.wake();
    return Passed.Yes;
  }

  #refuse({ header }: TxPacket): number {
    if (header.op !== Op.Rst) {
      this.#self.resets.push(header.dstCid, header.dstPort, header.srcPort, header.type);
    }
    return Passed.Yes;
  }

  #begin(peer: SiblingDevice, { header }: TxPacket): boolean {
    const { srcPort, dstPort, type } = header;
    const others = peer.siblings;
    const isFull = this.count >= this.#self.maxConnections || others.count >= peer.maxConnections;
    if (!peer.isReady || isFull) return false;
    this.#remember({ peer, port: srcPort, peerPort: dstPort, type });
    others.#remember({ peer: this.#self, port: dstPort, peerPort: srcPort, type });
    return true;
  }

  #remember(flow: Flow): void {
    this.#flows.set(keyOf(flow.peer.guestCid, flow.port, flow.peerPort), flow);
  }

  #hasFlow(peerCid: number, port: number, peerPort: number): boolean {
    return this.#flows.has(keyOf(peerCid, port, peerPort));
  }

  #end(peer: SiblingDevice, port: number, peerPort: number): void {
    this.#flows.delete(keyOf(peer.guestCid, port, peerPort));
    peer.siblings.#flows.delete(keyOf(this.#self.guestCid, peerPort, port));
  }

  /** This VM's guest is gone: the others hear of it. */
  clear(): void {
    this.inbox.clear();
    for (const { peer, port, peerPort, type } of [...this.#flows.values()]) {
      this.#end(peer, port, peerPort);
      peer.resets.push(this.#self.guestCid, port, peerPort, type);
      peer.wake();
    }
  }
}
