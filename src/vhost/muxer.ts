/**
 * Many connections over the two rings of one VM: packets of the guest find their connection, and
 * connections with something to tell wait in a list for room in the guest.
 */
import { FIRST_ASSIGNED_PORT, nextAssignedPort } from "../protocols/hybrid/connect-line.ts";
import { Action, Connection, Pending, State } from "../protocols/virtio-vsock/connection.ts";
import { HOST_CID, Op, PacketHeader, PacketType } from "../protocols/virtio-vsock/packet.ts";
import { HostConnection, type Payload } from "./host-connection.ts";

/** Connections of one VM at once, as Firecracker has it. */
export const MAX_CONNECTIONS = 1023;

/** RSTs to connections that are none; more than these at once are not told. */
const MAX_RESETS = 1024;

/** A connection that both sides have ended has so long for its last words, in milliseconds. */
const LAST_WORDS_MS = 2000;

/** What the muxer needs of its device. */
export interface MuxerHost {
  readonly guestCid: number;
  readonly bufAlloc: number;
  /**
   * Connects for a request of the guest.
   *
   * @returns a connected, non-blocking descriptor, or undefined where nobody listens.
   */
  connect(port: number): number | undefined;
  /** Begins to watch a socket. */
  watch(connection: HostConnection): void;
  /** Stops to watch a socket that is about to be closed. */
  unwatch(connection: HostConnection): void;
}

/** Counters for status and metrics. */
export class MuxerStatistics {
  opened = 0;
  refused = 0;
  reset = 0;
  bytesToGuest = 0;
  bytesFromGuest = 0;
  packetsToGuest = 0;
  packetsFromGuest = 0;
}

/** All connections of one VM. */
export class Muxer {
  readonly statistics = new MuxerStatistics();
  readonly #host: MuxerHost;
  /** By the host's port, then the guest's. */
  readonly #connections = new Map<number, Map<number, HostConnection>>();
  readonly #listed: HostConnection[] = [];
  readonly #resets: { hostPort: number; guestPort: number; type: number }[] = [];
  readonly #leaving = new Set<HostConnection>();
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

  /** Whether something is to be told to the guest. */
  get hasPending(): boolean {
    return this.#listed.length > 0 || this.#resets.length > 0;
  }

  /**
   * Begins a connection of the host to a port of the guest.
   *
   * @returns undefined where there are too many.
   */
  open(fd: number, guestPort: number): HostConnection | undefined {
    if (this.#count >= MAX_CONNECTIONS) return undefined;
    const connection = this.#add(fd, this.#freeHostPort(), guestPort, PacketType.Stream);
    connection.machine.post(Pending.Request);
    this.list(connection);
    return connection;
  }

  #freeHostPort(): number {
    for (;;) {
      const port = this.#nextHostPort;
      this.#nextHostPort = nextAssignedPort(port);
      if (!this.#connections.has(port)) return port;
    }
  }

  #add(fd: number, hostPort: number, guestPort: number, type: number): HostConnection {
    const machine = new Connection(hostPort, guestPort, type, this.#host.bufAlloc);
    const connection = new HostConnection(machine, fd);
    let byGuestPort = this.#connections.get(hostPort);
    if (byGuestPort === undefined) this.#connections.set(hostPort, (byGuestPort = new Map()));
    byGuestPort.set(guestPort, connection);
    this.#count++;
    this.statistics.opened++;
    this.#host.watch(connection);
    return connection;
  }

  #find(hostPort: number, guestPort: number): HostConnection | undefined {
    return this.#connections.get(hostPort)?.get(guestPort);
  }

  /** Puts a connection with something to tell into the list. */
  list(connection: HostConnection): void {
    if (connection.isListed || connection.machine.pending === 0) return;
    connection.isListed = true;
    this.#listed.push(connection);
  }

  /** Takes a packet of the guest. */
  onPacket(header: PacketHeader, payload: Payload): void {
    this.statistics.packetsFromGuest++;
    // A guest that speaks for somebody else is not listened to.
    if (header.srcCid !== this.#host.guestCid) return;
    if (header.dstCid !== HOST_CID) return this.#reset(header);
    const connection = this.#find(header.dstPort, header.srcPort);
    if (connection === undefined || connection.machine.state === State.Dead) {
      if (header.op === Op.Request) this.#onRequest(header);
      else if (header.op !== Op.Rst) this.#reset(header);
      return;
    }
    this.#carryOut(connection, connection.machine.onPacket(header), header, payload);
    this.#settle(connection);
  }

  #carryOut(
    connection: HostConnection,
    action: number,
    header: PacketHeader,
    payload: Payload,
  ): void {
    switch (action) {
      case Action.Write:
        // A length beyond its descriptors is no packet.
        if (header.len > payload.bytes) return connection.machine.kill();
        payload.limit(header.len);
        this.statistics.bytesFromGuest += header.len;
        return connection.forward(payload, header.len);
      case Action.Opened:
        connection.onOpened?.();
        return;
      case Action.EndOutput:
        return connection.endOutput();
      default:
    }
  }

  #onRequest(header: PacketHeader): void {
    const isKnown = header.type === PacketType.Stream;
    const fd =
      isKnown && this.#count < MAX_CONNECTIONS ? this.#host.connect(header.dstPort) : undefined;
    if (fd === undefined) {
      this.statistics.refused++;
      return this.#reset(header);
    }
    const connection = this.#add(fd, header.dstPort, header.srcPort, header.type);
    const { machine } = connection;
    machine.peerBufAlloc = header.bufAlloc;
    machine.peerFwdCnt = header.fwdCnt;
    machine.accept();
    machine.onReadable();
    this.list(connection);
  }

  #reset({ dstPort, srcPort, type }: PacketHeader): void {
    if (this.#resets.length >= MAX_RESETS) return;
    this.#resets.push({ hostPort: dstPort, guestPort: srcPort, type });
  }

  /** A socket has bytes, room, or its end. */
  onSocket(
    connection: HostConnection,
    events: { readable: boolean; writable: boolean; gone: boolean },
  ): void {
    if (connection.isClosed) return;
    if (events.writable) connection.flush();
    if (events.readable) connection.machine.onReadable();
    if (events.gone) connection.machine.onHostGone();
    this.#settle(connection);
  }

  /** What follows from a connection's new state. */
  #settle(connection: HostConnection): void {
    const { machine } = connection;
    if (machine.state === State.Dead) {
      if (!connection.isClosed) {
        this.#host.unwatch(connection);
        connection.close();
      }
      if (machine.pending === 0) return this.#remove(connection);
    } else if (
      machine.hostEnded &&
      (machine.guestEnded || machine.hostDeaf) &&
      connection.deadline === undefined
    ) {
      connection.deadline = performance.now() + LAST_WORDS_MS;
      this.#leaving.add(connection);
    }
    this.list(connection);
  }

  #remove(connection: HostConnection): void {
    const { hostPort, guestPort } = connection.machine;
    const byGuestPort = this.#connections.get(hostPort);
    if (byGuestPort?.get(guestPort) !== connection) return;
    byGuestPort.delete(guestPort);
    if (byGuestPort.size === 0) this.#connections.delete(hostPort);
    this.#leaving.delete(connection);
    this.#count--;
  }

  /** Ends connections whose guest does not say its last word. */
  onTime(now: number): void {
    for (const connection of this.#leaving) {
      if ((connection.deadline ?? Infinity) > now) continue;
      connection.machine.kill();
      this.#settle(connection);
    }
  }

  /**
   * Puts the next packet for the guest into a chain.
   *
   * @returns bytes of payload; -1 where nothing is to be told.
   */
  fill(header: PacketHeader, payload: Payload): number {
    const reset = this.#resets.shift();
    if (reset !== undefined) {
      this.#tellReset(header, reset);
      return 0;
    }
    for (;;) {
      const connection = this.#listed[0];
      if (connection === undefined) return -1;
      const bytes = this.#tellOf(connection, header, payload);
      // In turns: a busy connection goes to the end of the list.
      this.#listed.shift();
      connection.isListed = false;
      this.#settle(connection);
      if (bytes >= 0) return bytes;
    }
  }

  #tellReset(
    header: PacketHeader,
    { hostPort, guestPort, type }: { hostPort: number; guestPort: number; type: number },
  ): void {
    header.srcCid = HOST_CID;
    header.dstCid = this.#host.guestCid;
    header.srcPort = hostPort;
    header.dstPort = guestPort;
    header.type = type;
    header.op = Op.Rst;
    header.len = header.flags = header.bufAlloc = header.fwdCnt = 0;
    this.statistics.reset++;
    this.statistics.packetsToGuest++;
  }

  #tellOf(connection: HostConnection, header: PacketHeader, payload: Payload): number {
    const { machine } = connection;
    for (;;) {
      const bit = machine.next();
      if (bit === 0) return -1;
      let bytes = 0;
      if (bit === Pending.Data) {
        if (connection.isClosed) {
          machine.pending &= ~Pending.Data;
          continue;
        }
        payload.limit(machine.credit);
        bytes = connection.readInto(payload.vector);
        if (bytes === 0) continue;
        this.statistics.bytesToGuest += bytes;
      }
      machine.tell(bit, header, this.#host.guestCid, bytes);
      this.statistics.packetsToGuest++;
      return bytes;
    }
  }

  /** The VM is gone: all sockets are closed. */
  clear(): void {
    for (const connection of this) {
      if (connection.isClosed) continue;
      this.#host.unwatch(connection);
      connection.close();
    }
    this.#connections.clear();
    this.#listed.length = 0;
    this.#resets.length = 0;
    this.#leaving.clear();
    this.#count = 0;
  }
}
