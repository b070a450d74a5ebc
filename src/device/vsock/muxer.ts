/**
 * The muxer of one VM: many connections over the RX and TX queue of one device (virtio 1.2, 5.10.6).
 *
 * From the guest: `onPacket` finds the packet's connection by its ports, passes the header to the
 * connection's state, and does with the socket what the state returns as an action. A REQUEST opens a
 * connection and dials the host's service; a packet without a connection is answered with an RST.
 *
 * To the guest: each event (packet, socket, deadline) may leave packets pending in a connection, which
 * then is in the send queue. `fill` writes the next of them into RX buffers that the guest offers. Payload
 * is read from the socket only then, straight into guest memory, so a guest without buffers or credit
 * makes the writer on the host wait.
 *
 * Its parts: ConnectionTable (ports), SendQueue (who has packets for the guest), ConnectionTimeouts
 * (answers that the guest owes), DrainingSockets (sockets that outlive their connection until a slow
 * reader has read them), PendingResets (RSTs without a connection).
 */
import { peekDescriptor } from "../../ffi/receive.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import type { EventLoop } from "../../io/event-loop.ts";
import {
  Action,
  Connection,
  Pending,
  type PendingBit,
  State,
} from "../../protocols/virtio-vsock/connection.ts";
import { isPacketType, Op, PacketHeader, PacketType } from "../../protocols/virtio-vsock/packet.ts";
import type { HostClient } from "../host/host-backend.ts";
import { ConnectionSockets } from "./connection-sockets.ts";
import { ConnectionTable } from "./connection-table.ts";
import { ConnectionTimeouts, type TimeoutKind } from "./connection-timeouts.ts";
import { DrainingSockets } from "./draining-sockets.ts";
import type { HostConnection } from "./host-connection.ts";
import { PendingResets } from "./pending-resets.ts";
import { LargeBuffers } from "./large-buffers.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import { SendQueue } from "./send-queue.ts";
import { SeqpacketConnection } from "./seqpacket-connection.ts";
import { isEndOfInput, hasPeerClosed, isReadable, isWritable } from "./socket-events.ts";
import type { DeviceStatistics } from "./statistics.ts";
import { StreamConnection } from "./stream-connection.ts";
import type { TxPacket } from "./tx-packet.ts";

/** What the muxer needs of its device. */
export interface MuxerDevice {
  readonly guestCid: number;
  /** Our first buffer for each connection, in bytes. */
  readonly bufAlloc: number;
  /** Our buffer for a connection that sends much; the same as `bufAlloc` for none. */
  readonly maxBufAlloc: number;
  /** Limit of connections; as many more may wait for slow readers. */
  readonly maxConnections: number;
  /** How long the guest may take to answer a REQUEST of the host. */
  readonly connectTimeoutMs: number;
  readonly statistics: DeviceStatistics;
  readonly loop: EventLoop;
  /** Connects to the host's service for a REQUEST of the guest; see HostBackend. */
  dial(port: number, type: PacketType, onDialled: (fd: number | undefined) => void): void;
  /** Reports bytes of the guest that were dropped since their reader on the host was too slow. */
  onLost(bytes: number): void;
}

/** All connections of one VM. */
export class Muxer {
  readonly resets = new PendingResets();
  readonly #device: MuxerDevice;
  readonly #connections = new ConnectionTable();
  readonly #queue = new SendQueue();
  readonly #timeouts: ConnectionTimeouts;
  readonly #sockets: ConnectionSockets;
  readonly #draining: DrainingSockets;
  readonly #largeBuffers: LargeBuffers;
  readonly #header = new PacketHeader();
  /** Whether RSTs wait for packets of other VMs, which may belong to the same connections. */
  holdsResets = false;

  constructor(device: MuxerDevice) {
    this.#device = device;
    this.#largeBuffers = new LargeBuffers(device.maxBufAlloc);
    this.#timeouts = new ConnectionTimeouts((connection, kind) =>
      this.#onTimeout(connection, kind),
    );
    this.#sockets = new ConnectionSockets(device.loop, (connection, events) =>
      this.#onSocket(connection, events),
    );
    this.#draining = new DrainingSockets({
      sockets: this.#sockets,
      maxConnections: device.maxConnections,
      onLost: (bytes) => device.onLost(bytes),
    });
  }

  /** How many connections there are. */
  get count(): number {
    return this.#connections.count;
  }

  /** Every connection, for status. */
  [Symbol.iterator](): Generator<HostConnection> {
    return this.#connections[Symbol.iterator]();
  }

  /** How many connections that have ended for the guest have bytes for a slow reader. */
  get drainingCount(): number {
    return this.#draining.count;
  }

  /** How many connections wait for RX buffers; never more than there are. */
  get queuedCount(): number {
    return this.#queue.length;
  }

  /** Whether there is a packet for the guest. */
  get hasPending(): boolean {
    return this.#queue.first !== undefined || this.resets.count > 0;
  }

  /** Whether data for the guest waits, since it has been sent as much as its rate allows. */
  get holdsData(): boolean {
    return this.#queue.holdsData;
  }

  set holdsData(holds: boolean) {
    this.#queue.holdsData = holds;
  }

  /**
   * Opens a connection of a client on the host to a port of the guest.
   *
   * @returns false if there are too many: the caller keeps the client's descriptor.
   */
  open({ fd, port, type, onOpened }: HostClient): boolean {
    if (this.count >= this.#device.maxConnections) return false;
    const hostPort = this.#connections.assignHostPort();
    const connection = this.#add(hostPort, port, type, false);
    connection.onOpened = onOpened === undefined ? undefined : () => onOpened(hostPort);
    this.#attach(connection, fd);
    const deadline = performance.now() + this.#device.connectTimeoutMs;
    this.#timeouts.startConnect(connection, deadline);
    connection.vsock.post(Pending.Request);
    this.#queue.push(connection);
    return true;
  }

  #add(
    hostPort: number,
    guestPort: number,
    type: PacketType,
    isFromGuest: boolean,
  ): HostConnection {
    const vsock = new Connection(hostPort, guestPort, type, this.#device.bufAlloc);
    const connection = newConnection(type, vsock, isFromGuest);
    this.#connections.add(connection);
    const { statistics } = this.#device;
    statistics.opened++;
    if (isFromGuest) statistics.openedByGuest++;
    return connection;
  }

  #attach(connection: HostConnection, fd: number): void {
    connection.attach(fd);
    this.#sockets.add(connection);
  }

  /** Handles a packet of the guest to the host. */
  onPacket(packet: TxPacket): void {
    const { header } = packet;
    const connection = this.#connections.find(header.dstPort, header.srcPort);
    if (connection === undefined || connection.vsock.state === State.Dead) {
      this.#onUnknown(header, connection);
      return;
    }
    if (header.op === Op.Rst) this.#countReset(connection);
    this.#perform(connection.vsock.onPacket(header), connection, packet);
    this.#settle(connection);
  }

  /** @param dead the connection with these ports that has ended, while its RST waits to be sent. */
  #onUnknown(header: PacketHeader, dead: HostConnection | undefined): void {
    if (header.op !== Op.Request) {
      if (header.op !== Op.Rst) this.#reset(header);
      return;
    }
    if (dead !== undefined) {
      // Its RST would end the new connection.
      dead.vsock.pending = 0;
      this.#remove(dead);
    }
    this.#onRequest(header);
  }

  #countReset({ vsock }: HostConnection): void {
    const { statistics } = this.#device;
    statistics.resetsFromGuest++;
    if (vsock.state === State.HostOpening) statistics.refusedByGuest++;
  }

  #perform(action: Action, connection: HostConnection, packet: TxPacket): void {
    switch (action) {
      case Action.Write:
        return this.#forward(connection, packet);
      case Action.Opened:
        this.#timeouts.endConnect(connection);
        connection.deadline = undefined;
        connection.onOpened?.();
        connection.onOpened = undefined;
        return;
      case Action.EndInput:
        return connection.endInput();
      case Action.EndBoth:
        // The socket of a dead connection is about to be closed: a shutdown would only wake its peer.
        if (connection.vsock.state === State.Dead) return connection.dropInput();
        connection.endInput();
        return connection.endOutput();
      case Action.EndOutput:
        return connection.endOutput();
      case Action.Close:
      case Action.None:
        return;
      default:
        action satisfies never;
    }
  }

  #forward(connection: HostConnection, packet: TxPacket): void {
    const { len } = packet.header;
    // The length must not exceed the descriptors.
    if (len > packet.bytes) return connection.vsock.kill();
    this.#device.statistics.bytesFromGuest += len;
    connection.forward(packet, len);
    this.#largeBuffers.offer(connection);
  }

  #onRequest(header: PacketHeader): void {
    const { type, dstPort, srcPort } = header;
    if (!isPacketType(type) || this.count >= this.#device.maxConnections) {
      this.#device.statistics.refused++;
      return this.#reset(header);
    }
    const connection = this.#add(dstPort, srcPort, type, true);
    connection.vsock.begin(header.bufAlloc, header.fwdCnt);
    this.#device.dial(dstPort, type, (fd) => this.#onDialled(connection, fd));
  }

  #onDialled(connection: HostConnection, fd: number | undefined): void {
    const { vsock } = connection;
    if (vsock.state === State.Dead) {
      // The guest has sent an RST in the meantime, or has disconnected.
      if (fd !== undefined) closeDescriptor(fd);
      return;
    }
    if (fd === undefined) {
      this.#device.statistics.refused++;
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

  /** @param events see socket-events.ts. */
  #onSocket(connection: HostConnection, events: number): void {
    if (connection.isDraining) return this.#draining.onSocket(connection);
    if (!connection.isConnected) return;
    if (isEndOfInput(events)) connection.hasEndOfInput = true;
    if (isWritable(events)) connection.flush();
    if (isReadable(events)) connection.vsock.onReadable();
    if (hasPeerClosed(events)) connection.vsock.onHostClosed(hasUnread(connection));
    this.#settle(connection);
  }

  #onTimeout(connection: HostConnection, kind: TimeoutKind): void {
    if (kind === "connect") this.#device.statistics.connectTimeouts++;
    connection.vsock.kill();
    this.#settle(connection);
  }

  /** Does what follows from a connection's new state. */
  #settle(connection: HostConnection): void {
    const { vsock } = connection;
    if (vsock.state === State.Dead) {
      this.#timeouts.endConnect(connection);
      this.#draining.release(connection);
      if (vsock.pending === 0) return this.#remove(connection);
    } else if (vsock.isAwaitingRst) this.#timeouts.startClose(connection);
    if (connection.isConnected) {
      this.#sockets.setWatchesWritable(connection, connection.waiting > 0);
    }
    this.#queue.push(connection);
  }

  #remove(connection: HostConnection): void {
    if (!this.#connections.remove(connection)) return;
    this.#timeouts.remove(connection);
    this.#queue.remove(connection);
  }

  /** Ends connections whose guest has not answered in time; `now` is performance.now(). */
  onTime(now: number): void {
    this.#timeouts.onTime(now);
  }

  /**
   * Writes the next packets into RX buffers: one, or as many as a read from one socket has filled.
   *
   * @param buffers with at least one chain.
   * @returns how many packets; 0 if there are none.
   */
  fill(buffers: RxBuffers): number {
    if (this.resets.count > 0 && !this.holdsResets) return this.#sendReset(buffers);
    const { statistics } = this.#device;
    for (;;) {
      const connection = this.#queue.first;
      if (connection === undefined) return 0;
      const before = connection.bytesToGuest;
      const packets = this.#send(connection, buffers);
      // In turns: a busy connection goes to the end of the queue.
      this.#queue.shift();
      this.#settle(connection);
      if (packets === 0) continue;
      statistics.packetsToGuest += packets;
      statistics.bytesToGuest += connection.bytesToGuest - before;
      return packets;
    }
  }

  #sendReset(buffers: RxBuffers): number {
    const { statistics, guestCid } = this.#device;
    this.resets.shift(this.#header, guestCid);
    buffers.put(this.#header, 0);
    statistics.resets++;
    statistics.packetsToGuest++;
    return 1;
  }

  #send(connection: HostConnection, buffers: RxBuffers): number {
    const { vsock } = connection;
    for (;;) {
      const bit = vsock.next(this.#queue.holdsData);
      if (bit === 0) return 0;
      if (bit !== Pending.Data) return this.#sendControl(connection, bit, buffers);
      if (!connection.isConnected) {
        vsock.onDrained();
        continue;
      }
      const packets = connection.fill(buffers, this.#header, this.#device.guestCid);
      if (packets > 0) return packets;
    }
  }

  #sendControl({ vsock }: HostConnection, bit: PendingBit, buffers: RxBuffers): number {
    const { statistics, guestCid } = this.#device;
    if (bit === Pending.Rst) statistics.resets++;
    else if (bit === Pending.CreditRequest) statistics.creditStarved++;
    vsock.fillHeader(bit, this.#header, guestCid, 0);
    buffers.put(this.#header, 0);
    return 1;
  }

  /** Ends all connections, which the guest does not know any more; sockets drain. */
  clear(): void {
    this.#queue.clear();
    for (const connection of this.#connections) {
      connection.vsock.kill();
      this.#draining.release(connection);
    }
    this.#connections.clear();
    this.#timeouts.clear();
    this.resets.clear();
  }

  /** Unmaps memory that holds no bytes for slow readers any more: called at rest. */
  compact(): void {
    for (const connection of this.#connections) connection.compact();
    this.#draining.compact();
  }

  /** Closes the sockets of slow readers; their queued bytes are lost. */
  dropDraining(): void {
    this.#draining.dropAll();
  }
}

function newConnection(type: PacketType, vsock: Connection, isFromGuest: boolean): HostConnection {
  switch (type) {
    case PacketType.Stream:
      return new StreamConnection(vsock, isFromGuest);
    case PacketType.Seqpacket:
      return new SeqpacketConnection(vsock, isFromGuest);
  }
}

/** Returns whether a client that has closed before the guest's answer has sent bytes for the guest. */
function hasUnread({ vsock, fd }: HostConnection): boolean {
  return vsock.state === State.HostOpening && peekDescriptor(fd, new Uint8Array(1)) > 0;
}
