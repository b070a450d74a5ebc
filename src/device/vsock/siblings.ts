/**
 * Sibling VMs: VMs of one process that share a group reach each other by CID.
 *
 * Their guests negotiate connections and credit with each other, so packets are passed on unchanged. The
 * device only tracks which connections exist (from REQUEST to RST), because
 *
 * - packets without a connection are answered with an RST, as by the muxer;
 * - the number of connections is limited on both sides;
 * - when a VM disconnects, its peers get an RST for each connection with it.
 */
import { Op } from "../../protocols/virtio-vsock/packet.ts";
import type { TxPacket } from "./tx-packet.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import type { PendingResets } from "./pending-resets.ts";
import { SiblingInbox } from "./sibling-inbox.ts";

/** The interface of a device towards its siblings. */
export interface SiblingDevice {
  readonly guestCid: number;
  /** Limit of connections with siblings. */
  readonly maxConnections: number;
  readonly siblings: Siblings;
  /** RSTs for its guest. */
  readonly resets: PendingResets;
  /** Whether the guest's driver is ready. */
  readonly isReady: boolean;
  /** Returns RX buffers with at least one chain; undefined if its guest offers none now. */
  readonly nextRxBuffers: () => RxBuffers | undefined;
  /** Makes it signal its guest, and send what is queued, in the next round. */
  wake(): void;
}

/** What became of a packet. */
export type Delivery =
  /** It was delivered, queued, or answered with an RST: its chain may be returned. */
  | "done"
  /** The other VM's queue is full: the packet has to be tried again. */
  | "retry";

/** A connection of this VM with a sibling. */
interface Flow {
  peer: SiblingDevice;
  port: number;
  peerPort: number;
  type: number;
}

const keyOf = (peerCid: number, port: number, peerPort: number) => `${peerCid} ${port} ${peerPort}`;

/** The siblings of one VM, and its connections with them. */
export class Siblings {
  readonly inbox = new SiblingInbox();
  readonly #self: SiblingDevice;
  readonly #reachable = new Map<number, SiblingDevice>();
  readonly #flows = new Map<string, Flow>();

  constructor(self: SiblingDevice) {
    this.#self = self;
  }

  /** How many connections with siblings there are. */
  get count(): number {
    return this.#flows.size;
  }

  /** Lets the guest reach another VM; needed on both sides. */
  add(other: SiblingDevice): void {
    this.#reachable.set(other.guestCid, other);
  }

  /** Passes a packet of this VM's guest on, or answers it with an RST. */
  forward(packet: TxPacket): Delivery {
    const { header } = packet;
    const peer = this.#reachable.get(header.dstCid);
    if (peer === undefined) return this.#refuse(packet);
    const isNew = header.op === Op.Request;
    if (isNew && !this.#begin(peer, packet)) return this.#refuse(packet);
    if (!isNew && !peer.siblings.#hasFlow(this.#self.guestCid, header.dstPort, header.srcPort)) {
      return this.#refuse(packet);
    }
    const { inbox } = peer.siblings;
    if (!inbox.deliver(packet, peer.nextRxBuffers, performance.now())) {
      if (!inbox.isStuck) return "retry";
      // The other guest does not read: the connection ends on both sides.
      this.#end(peer, header.srcPort, header.dstPort);
      peer.resets.push(header.srcCid, header.srcPort, header.dstPort, header.type);
      return this.#refuse(packet);
    }
    if (header.op === Op.Rst) this.#end(peer, header.srcPort, header.dstPort);
    peer.wake();
    return "done";
  }

  #refuse({ header }: TxPacket): Delivery {
    if (header.op !== Op.Rst) {
      this.#self.resets.push(header.dstCid, header.dstPort, header.srcPort, header.type);
    }
    return "done";
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

  /** Ends all connections of this VM, whose guest has disconnected: its peers get RSTs. */
  clear(): void {
    this.inbox.clear();
    for (const { peer, port, peerPort, type } of [...this.#flows.values()]) {
      this.#end(peer, port, peerPort);
      peer.resets.push(this.#self.guestCid, port, peerPort, type);
      peer.wake();
    }
  }
}
