/**
 * Many connections over the two rings of one VM: packets of the guest find their connection, and
 * connections with something to tell wait in a list for room in the guest.
 */
import { peekDescriptor } from "../../ffi/receive.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { FIRST_ASSIGNED_PORT, nextAssignedPort } from "../../protocols/hybrid/connect-line.ts";
import { Action, Connection, Pending, State } from "../../protocols/virtio-vsock/connection.ts";
import { Op, PacketHeader, PacketType } from "../../protocols/virtio-vsock/packet.ts";
import type { HostClient } from "../host/host-backend.ts";
import type { HostConnection } from "./host-connection.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import { SeqpacketConnection } from "./seqpacket-connection.ts";
import { PendingResets } from "./pending-resets.ts";
import type { TxPacket } from "./tx-packet.ts";
import type { DeviceStatistics } from "./statistics.ts";
import { StreamConnection } from "./stream-connection.ts";

/** A guest may take so long for the RST of a connection that both sides have ended, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2000;

/** What the muxer needs of its device. */
export interface MuxerHost {
  readonly guestCid: number;
  readonly bufAlloc: number;
  /** Connections at once; more are refused. As many more may wait for slow readers. */
  readonly maxConnections: number;
  /** A guest may take so long to answer a request of the host, in milliseconds. */
  readonly connectTimeoutMs: number;
  readonly statistics: DeviceStatistics;
  /** Connects for a request of the guest; see HostBackend. */
  dial(port: number, type: number, answer: (fd: number | undefined) => void): void;
  /** Begins to watch a socket. */
  watch(connection: HostConnection): void;
  /** Watches it for room as well where the connection says so, or no longer. */
  rewatch(connection: HostConnection): void;
  /** Stops to watch a socket that is about to be closed. */
  unwatch(connection: HostConnection): void;
  /** Bytes of the guest were dropped: their reader on the host was too slow. */
  onLost(bytes: number): void;
}

/** All connections of one VM. */
export class Muxer {
  readonly resets = new PendingResets();
  readonly #host: MuxerHost;
  /** By the host's port, then the guest's. */
  readonly #connections = new Map<number, Map<number, HostConnection>>();
  #firstListed: HostConnection | undefined;
  #lastListed: HostConnection | undefined;
  /** Those that have nothing but data to tell, while data is held. */
  readonly #held: HostConnection[] = [];
  #holdsData = false;
  /** Whether RSTs wait, since packets of other VMs do that may be of their connections. */
  holdsResets = false;
  /** Those whose request the guest has not answered, in the order of their deadlines. */
  readonly #opening = new Set<HostConnection>();
  /** Those that both sides have ended, in the order of their deadlines. */
  readonly #leaving = new Set<HostConnection>();
  /** Those that are over for the guest, with bytes of it for a slow reader; the oldest first. */
  readonly #draining = new Set<HostConnection>();
  readonly #header = new PacketHeader();
  #count = 0;
  #nextHostPort = FIRST_ASSIGNED_PORT;

  constructor(host: MuxerHost) {
    this.#host = host;
  }

  /** How many connections there are. */
  get count(): number {
    return this.#count;
  }

  /** Every connection, for status. */
  *[Symbol.iterator](): Generator<HostConnection> {
    for (const connections of this.#connections.values()) yield* connections.values();
  }

  /** How many connections that are over for the guest have bytes for a slow reader. */
  get drainingCount(): number {
    return this.#draining.size;
  }

  /** How many connections wait for room in the guest; never more than there are. */
  get listed(): number {
    let count = 0;
    for (let next = this.#firstListed; next !== undefined; next = next.nextListed) count++;
    return count;
  }

  /** Whether something is to be told to the guest. */
  get hasPending(): boolean {
    return this.#firstListed !== undefined || this.resets.count > 0;
  }

  /**
   * Begins a connection of the host to a port of the guest.
   *
   * @returns false where there are too many: the client stays the caller's.
   */
  open({ fd, port, type, onOpened }: HostClient): boolean {
    if (this.#count >= this.#host.maxConnections) return false;
    const hostPort = this.#freeHostPort();
    const connection = this.#add(hostPort, port, type, false);
    connection.onOpened = onOpened === undefined ? undefined : () => onOpened(hostPort);
    this.#attach(connection, fd);
    connection.deadline = performance.now() + this.#host.connectTimeoutMs;
    this.#opening.add(connection);
    connection.vsock.post(Pending.Request);
    this.#list(connection);
    return true;
  }

  #freeHostPort(): number {
    for (;;) {
      const port = this.#nextHostPort;
      this.#nextHostPort = nextAssignedPort(port);
      if (!this.#connections.has(port)) return port;
    }
  }

  #add(hostPort: number, guestPort: number, type: number, isFromGuest: boolean): HostConnection {
    const vsock = new Connection(hostPort, guestPort, type, this.#host.bufAlloc);
    const Kind = type === PacketType.Seqpacket ? SeqpacketConnection : StreamConnection;
    const connection = new Kind(vsock, isFromGuest);
    let byGuestPort = this.#connections.get(hostPort);
    if (byGuestPort === undefined) this.#connections.set(hostPort, (byGuestPort = new Map()));
    byGuestPort.set(guestPort, connection);
    this.#count++;
    this.#host.statistics.opened++;
    if (isFromGuest) this.#host.statistics.openedByGuest++;
    return connection;
  }

  #attach(connection: HostConnection, fd: number): void {
    connection.attach(fd);
    this.#host.watch(connection);
  }

  #find(hostPort: number, guestPort: number): HostConnection | undefined {
    return this.#connections.get(hostPort)?.get(guestPort);
  }

  /** Puts a connection with something to tell into the list. */
  #list(connection: HostConnection): void {
    const { vsock } = connection;
    if (connection.isListed || vsock.pending === 0) return;
    if (this.#holdsData && vsock.pendingBesidesData === 0) return this.#hold(connection);
    connection.isListed = true;
    if (this.#lastListed === undefined) this.#firstListed = connection;
    else this.#lastListed.nextListed = connection;
    this.#lastListed = connection;
  }

  #hold(connection: HostConnection): void {
    if (connection.isHeld) return;
    connection.isHeld = true;
    this.#held.push(connection);
  }

  /** Whether data for the guest waits, since it has had as much as its rate allows. */
  get holdsData(): boolean {
    return this.#holdsData;
  }

  set holdsData(holds: boolean) {
    this.#holdsData = holds;
    if (holds || this.#held.length === 0) return;
    for (const connection of this.#held) {
      connection.isHeld = false;
      this.#list(connection);
    }
    this.#held.length = 0;
  }

  #unlistFirst(connection: HostConnection): void {
    this.#firstListed = connection.nextListed;
    if (this.#firstListed === undefined) this.#lastListed = undefined;
    connection.nextListed = undefined;
    connection.isListed = false;
  }

  /** A guest that takes no packets never empties the list: what is gone does not stay in it. */
  #unlist(connection: HostConnection): void {
    if (!connection.isListed) return;
    if (connection === this.#firstListed) return this.#unlistFirst(connection);
    let before = this.#firstListed;
    while (before !== undefined && before.nextListed !== connection) before = before.nextListed;
    if (before === undefined) return;
    before.nextListed = connection.nextListed;
    if (this.#lastListed === connection) this.#lastListed = before;
    connection.nextListed = undefined;
    connection.isListed = false;
  }

  /** Takes a packet of the guest for the host. */
  onPacket(packet: TxPacket): void {
    const { header } = packet;
    const connection = this.#find(header.dstPort, header.srcPort);
    if (connection === undefined || connection.vsock.state === State.Dead) {
      if (connection !== undefined && header.op === Op.Request) {
        // Its RST would end the new one.
        connection.vsock.pending = 0;
        this.#remove(connection);
      }
      if (header.op === Op.Request) this.#onRequest(header);
      else if (header.op !== Op.Rst) this.#reset(header);
      return;
    }
    if (header.op === Op.Rst) this.#countReset(connection);
    this.#carryOut(connection, connection.vsock.onPacket(header), packet);
    this.#settle(connection);
  }

  #countReset({ vsock }: HostConnection): void {
    const { statistics } = this.#host;
    statistics.resetsFromGuest++;
    if (vsock.state === State.HostOpening) statistics.refusedByGuest++;
  }

  #carryOut(connection: HostConnection, action: number, packet: TxPacket): void {
    switch (action) {
      case Action.Write: {
        const { len } = packet.header;
        // A length beyond its descriptors is no packet.
        if (len > packet.bytes) return connection.vsock.kill();
        this.#host.statistics.bytesFromGuest += len;
        return connection.forward(packet, len);
      }
      case Action.Opened:
        this.#opening.delete(connection);
        connection.deadline = undefined;
        connection.onOpened?.();
        connection.onOpened = undefined;
        return;
      case Action.EndInput:
        return connection.endInput();
      case Action.EndBoth:
        // To be closed at once: a shutdown before that would only wake the peer twice.
        if (connection.vsock.state === State.Dead) return connection.dropInput();
        connection.endInput();
        return connection.endOutput();
      case Action.EndOutput:
        return connection.endOutput();
      default:
    }
  }

  #onRequest(header: PacketHeader): void {
    const { type, dstPort, srcPort } = header;
    const isKnown = type === PacketType.Stream || type === PacketType.Seqpacket;
    if (!isKnown || this.#count >= this.#host.maxConnections) {
      this.#host.statistics.refused++;
      return this.#reset(header);
    }
    const connection = this.#add(dstPort, srcPort, type, true);
    connection.vsock.begin(header.bufAlloc, header.fwdCnt);
    this.#host.dial(dstPort, type, (fd) => this.#onDialled(connection, fd));
  }

  #onDialled(connection: HostConnection, fd: number | undefined): void {
    const { vsock } = connection;
    if (vsock.state === State.Dead) {
      // The guest has given up in the meantime, or is gone.
      if (fd !== undefined) closeDescriptor(fd);
      return;
    }
    if (fd === undefined) {
      this.#host.statistics.refused++;
      vsock.kill();
    } else {
      this.#attach(connection, fd);
      vsock.accept();
      vsock.onReadable();
    }
    this.#settle(connection);
  }

  #reset({ dstCid, dstPort, srcPort, type }: PacketHeader): void {
    this.resets.push(dstCid, dstPort, srcPort, type);
  }

  /**
   * A socket has bytes, room, or its end.
   *
   * @param hasEnd whether its peer sends no more.
   * @param isGone whether its peer is gone altogether.
   */
  onSocket(
    connection: HostConnection,
    isReadable: boolean,
    isWritable: boolean,
    hasEnd: boolean,
    isGone: boolean,
  ): void {
    if (connection.isDraining) return this.#onDrainingSocket(connection);
    if (!connection.isConnected) return;
    if (hasEnd) connection.hasEnd = true;
    if (isWritable) connection.flush();
    if (isReadable) connection.vsock.onReadable();
    if (isGone) connection.vsock.onHostClosed(this.#hasUnread(connection));
    this.#settle(connection);
  }

  /** Whether a client that has closed before the guest's answer has sent something for the guest. */
  #hasUnread({ vsock, fd }: HostConnection): boolean {
    return vsock.state === State.HostOpening && peekDescriptor(fd, new Uint8Array(1)) > 0;
  }

  /** Closes the socket of a connection that is over, at once or after what waits for its reader. */
  #release(connection: HostConnection): void {
    if (connection.isDraining) return;
    if (!connection.isConnected) return connection.close();
    if (connection.waiting === 0) {
      this.#host.unwatch(connection);
      return connection.close();
    }
    connection.drain();
    this.#draining.add(connection);
    if (!connection.watchesRoom) {
      connection.watchesRoom = true;
      this.#host.rewatch(connection);
    }
    // A guest must not fill the memory with what is not read: the oldest makes way.
    const [oldest] = this.#draining;
    if (oldest !== undefined && this.#draining.size > this.#host.maxConnections) this.#lose(oldest);
  }

  #onDrainingSocket(connection: HostConnection): void {
    connection.flush();
    if (connection.waiting > 0) return;
    this.#draining.delete(connection);
    this.#host.unwatch(connection);
    connection.close();
  }

  #lose(connection: HostConnection): void {
    const { waitingBytes } = connection;
    this.#draining.delete(connection);
    this.#host.unwatch(connection);
    connection.close();
    this.#host.onLost(waitingBytes);
  }

  /** Closes the sockets of slow readers: what waits for them is lost. */
  dropDraining(): void {
    for (const connection of this.#draining) this.#lose(connection);
  }

  /** What follows from a connection's new state. */
  #settle(connection: HostConnection): void {
    const { vsock } = connection;
    if (vsock.state === State.Dead) {
      this.#opening.delete(connection);
      this.#release(connection);
      if (vsock.pending === 0) return this.#remove(connection);
    } else if (vsock.isAwaitingRst && connection.deadline === undefined) {
      connection.deadline = performance.now() + CLOSE_TIMEOUT_MS;
      this.#leaving.add(connection);
    }
    // Only while something waits: epoll tells of room at each byte that the other side reads.
    if (connection.needsRoom !== connection.watchesRoom && connection.isConnected) {
      connection.watchesRoom = connection.needsRoom;
      this.#host.rewatch(connection);
    }
    this.#list(connection);
  }

  #remove(connection: HostConnection): void {
    const { hostPort, guestPort } = connection.vsock;
    const byGuestPort = this.#connections.get(hostPort);
    if (byGuestPort?.get(guestPort) !== connection) return;
    byGuestPort.delete(guestPort);
    if (byGuestPort.size === 0) this.#connections.delete(hostPort);
    this.#opening.delete(connection);
    this.#leaving.delete(connection);
    this.#unlist(connection);
    this.#count--;
  }

  /** Ends connections whose guest does not answer, neither the request nor the end of both sides. */
  onTime(now: number): void {
    for (const connection of this.#opening) {
      if ((connection.deadline ?? Infinity) > now) break;
      this.#host.statistics.connectTimeouts++;
      connection.vsock.kill();
      this.#settle(connection);
    }
    for (const connection of this.#leaving) {
      if ((connection.deadline ?? Infinity) > now) return;
      this.#leaving.delete(connection);
      if (connection.waiting > 0) {
        // Somebody on the host is slow to read, and nobody has to hurry.
        connection.deadline = now + CLOSE_TIMEOUT_MS;
        this.#leaving.add(connection);
        continue;
      }
      connection.vsock.kill();
      this.#settle(connection);
    }
  }

  /**
   * Gives the guest the next packets: one, or as many as a read from one socket has filled.
   *
   * @param room with at least one chain.
   * @returns how many; 0 where nothing is to be told.
   */
  fill(room: RxBuffers): number {
    const { statistics } = this.#host;
    if (this.resets.count > 0 && !this.holdsResets) {
      this.resets.take(this.#header, this.#host.guestCid);
      room.put(this.#header, 0);
      statistics.resets++;
      statistics.packetsToGuest++;
      return 1;
    }
    for (;;) {
      const connection = this.#firstListed;
      if (connection === undefined) return 0;
      const before = connection.bytesToGuest;
      const packets = this.#tellOf(connection, room);
      // In turns: a busy connection goes to the end of the list.
      this.#unlistFirst(connection);
      this.#settle(connection);
      if (packets === 0) continue;
      statistics.packetsToGuest += packets;
      statistics.bytesToGuest += connection.bytesToGuest - before;
      return packets;
    }
  }

  #tellOf(connection: HostConnection, room: RxBuffers): number {
    const { vsock } = connection;
    for (;;) {
      const bit = vsock.next(this.#holdsData);
      if (bit === 0) return 0;
      if (bit !== Pending.Data) {
        if (bit === Pending.Rst) this.#host.statistics.resets++;
        else if (bit === Pending.CreditRequest) this.#host.statistics.creditStarved++;
        vsock.fillHeader(bit, this.#header, this.#host.guestCid, 0);
        room.put(this.#header, 0);
        return 1;
      }
      if (!connection.isConnected) {
        vsock.onDrained();
        continue;
      }
      const packets = connection.fill(room, this.#header, this.#host.guestCid);
      if (packets > 0) return packets;
    }
  }

  /** The guest knows no connection any more: all sockets are closed, after what waits for them. */
  clear(): void {
    for (const connection of this) {
      connection.vsock.kill();
      this.#release(connection);
      connection.nextListed = undefined;
      connection.isListed = false;
    }
    this.#connections.clear();
    this.#firstListed = undefined;
    this.#lastListed = undefined;
    for (const connection of this.#held) connection.isHeld = false;
    this.#held.length = 0;
    this.resets.clear();
    this.#opening.clear();
    this.#leaving.clear();
    this.#count = 0;
  }
}
