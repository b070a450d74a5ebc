/**
 * A whole device with real sockets and memory, whose guest and host clients keep to no rule, and two
 * connections beside them that do.
 */
import { closeDescriptor, shutdownWrite, writeDescriptor } from "../../src/ffi/socket.ts";
import type { UnixListener } from "../../src/net/listen.ts";
import { Feature } from "../../src/protocols/vhost-user/features.ts";
import {
  NO_CID,
  Op,
  type PacketHeader,
  PacketType,
} from "../../src/protocols/virtio-vsock/packet.ts";
import { VM_DEFAULTS } from "../../src/device/config/vm-config.ts";
import {
  acceptFrom,
  GUEST_CID,
  LocalDevice,
  openDescriptors,
  readAll,
} from "../support/local-device.ts";
import { RX, TX } from "../support/raw-vmm.ts";
import type { PacketFields, VsockDriver } from "../support/vsock-driver.ts";
import { promise } from "./promises.ts";
import type { Random } from "./random.ts";
import { breakRing } from "./vhost-memory-targets.ts";
import { HonestStream, Ledger } from "./vhost-streams.ts";

/** Ports of the two connections that keep to the rules. */
const HONEST_OUT = { guestPort: 100, hostPort: 5000 };
const HONEST_IN = 6000;

/** A service of the host that hostile packets may reach, and one that is not there. */
const SERVICE = 7000;
const NOBODY = 7001;

const TX_BUFFER_BYTES = 4096;

/** A service that takes records. */
const RECORDS = 7002;

/** Most RSTs that wait for a guest, as src/device/vsock/pending-resets.ts has it. */
const MAX_RESETS = 4096;

/** The smallest ring has room for so many packets and one more. */
const MAX_UNSENT = 4;

/** Host descriptors of a session's hostile connections at once. */
const MAX_CLIENTS = 24;

const LINES = ["CONNECT 6001\n", "connect 8\nmore", "CONN", "", "CONNECT -1\n", "x".repeat(99)];
const ALLOCS = [0, 1, 100, 4096, 65_536, 2 ** 31, 2 ** 32 - 1];

/** One device serves all sessions, as one process serves all VMMs that come. */
class World {
  readonly local = new LocalDevice({ queueSize: 4096, txBufferSize: TX_BUFFER_BYTES });
  readonly honest = this.local.listen(HONEST_OUT.hostPort);
  readonly services: readonly UnixListener[] = [
    this.local.listen(SERVICE),
    this.local.listen(RECORDS, true),
  ];
}

let world: World | undefined;

function theWorld(): World {
  if (world === undefined) {
    const made = new World();
    process.once("exit", () => made.local[Symbol.dispose]());
    world = made;
  }
  return world;
}

const typeOf = (port: number) => (port === RECORDS ? PacketType.Seqpacket : PacketType.Stream);

/** One guest from its start to its end. */
class Session {
  steps = 0;
  refused = 0;
  readonly #random: Random;
  readonly #world: World;
  readonly #driver: VsockDriver;
  readonly #ledger = new Ledger();
  readonly #streams: HonestStream[] = [];
  readonly #clients: number[] = [];
  /** Ports of the host's side that the guest has heard of. */
  readonly #hostPorts: number[] = [SERVICE, RECORDS, NOBODY];
  #isPosting = true;
  #lastPort = 1000;

  constructor(random: Random, { local }: World) {
    this.#random = random;
    this.#world = theWorld();
    const entries = random.pick([8, 64, 64, 64, 256, 2048, 4096]);
    const isPlain = random.below(3) === 0;
    this.#driver = local.startGuest({
      entries,
      base: random.pick([0, 65_530, random.below(65_536)]),
      cutAt: random.below(2) === 0 ? undefined : 700_000 + random.below(9) * 1111,
      features: Feature.Version1 | Feature.ProtocolFeatures | (isPlain ? 0n : Feature.EventIndex),
    });
    this.#driver.post();
    this.#openHonest();
  }

  #openHonest(): void {
    const { guestPort, hostPort } = HONEST_OUT;
    const { honest, local } = this.#world;
    const send = (fields: PacketFields) => this.#send(fields);
    this.#send({ op: Op.Request, srcPort: guestPort, dstPort: hostPort });
    local.turn();
    const response = this.#driver.receive()?.header;
    promise(response?.op === Op.Response, "a service of the host answers");
    const fd = acceptFrom(honest) ?? -1;
    const granted = response?.bufAlloc ?? 0;
    this.#streams.push(new HonestStream(this.#driver, send, guestPort, hostPort, fd, granted));

    const client = local.connectClient();
    writeDescriptor(client, Buffer.from(`CONNECT ${HONEST_IN}\n`));
    local.turn();
    const request = this.#driver.receive()?.header;
    promise(request?.op === Op.Request, "a client of the host is heard of");
    const port = request?.srcPort ?? 0;
    if (request !== undefined) this.#ledger.onReceived(request);
    this.#send({ op: Op.Response, srcPort: HONEST_IN, dstPort: port });
    local.turn();
    promise(readAll(client)?.toString() === `OK ${port}\n`, "a client of the host is told");
    this.#streams.push(new HonestStream(this.#driver, send, HONEST_IN, port, client, granted));
  }

  /** Sends a packet; false where the device takes none before the guest has made room. */
  #send(fields: PacketFields): boolean {
    if (this.#driver.unsent >= MAX_UNSENT) this.#world.local.turn();
    if (this.#driver.unsent >= MAX_UNSENT) return false;
    const { srcCid = GUEST_CID, dstCid = 2 } = fields;
    if (srcCid === GUEST_CID && dstCid === 2) this.#ledger.onSent(fields);
    this.#driver.send(fields);
    this.steps++;
    return true;
  }

  /** Plays it. */
  run(): void {
    const count = this.#random.below(400);
    for (let step = 0; step < count; step++) {
      this.#step();
      this.#world.local.turn();
      this.#receive();
      this.#checkBounds();
      if (this.#isPosting) this.#driver.post();
    }
    promise(!this.#driver.guest.vmm.isGone, "a guest whose rings are sound keeps its device");
    if (this.#random.below(3) === 0) this.#breakRings();
    else this.#settle();
  }

  #step(): void {
    const random = this.#random;
    if (this.#driver.unsent > 0) {
      // It has provoked so much that it has to read first.
      this.#isPosting = true;
      return;
    }
    const stream = random.pick(this.#streams);
    switch (random.below(20)) {
      case 0:
      case 1:
        return stream.guestSends(random.below(5000), random.pick([0, 0, 7, 40]));
      case 2:
        // More pieces than one writev(2) takes, where the ring has so many.
        return stream.guestSends(4000, random.below(20) === 0 ? 3000 : 1);
      case 3:
      case 4:
        return stream.hostReads();
      case 5:
      case 6:
        this.steps++;
        return stream.hostSends(1 + random.below(5000));
      case 7:
        return stream.guestTells();
      case 8:
      case 9:
      case 10:
        return this.#hostActs();
      case 11:
        return this.#flood();
      case 12:
        this.#isPosting = random.below(4) > 0;
        return this.#driver.sendBytes(new Uint8Array(random.below(60)));
      default:
        return void this.#send(this.#hostilePacket());
    }
  }

  #hostilePacket(): PacketFields {
    const random = this.#random;
    const payload = new Uint8Array(random.below(3) === 0 ? random.below(6000) : 0);
    const isOdd = random.below(12) === 0;
    const dstPort = random.pick(this.#hostPorts);
    return {
      op: random.below(15) === 0 ? random.next() & 0xffff : 1 + random.below(7),
      type: random.below(20) === 0 ? random.below(4) : typeOf(dstPort),
      srcPort: 1 + random.below(6),
      dstPort,
      srcCid: isOdd ? random.pick([0, 1, 2, 4, NO_CID, 2 ** 32 - 1]) : GUEST_CID,
      dstCid: random.below(30) === 0 ? random.pick([0, 1, 3, 4, NO_CID]) : 2,
      flags: random.below(4),
      bufAlloc: random.pick(ALLOCS),
      fwdCnt: random.below(3) === 0 ? random.next() : random.below(2000),
      payload,
      len:
        random.below(8) === 0
          ? random.pick([0, payload.length + 1, 4097, 2 ** 32 - 1])
          : payload.length,
      pieces: random.below(6),
    };
  }

  /** Requests and their ends, more than there is room for. */
  #flood(): void {
    const random = this.#random;
    const dstPort = random.pick([SERVICE, NOBODY, RECORDS]);
    const type = typeOf(dstPort);
    const isReset = random.below(2) === 0;
    const count = random.below(400) === 0 ? VM_DEFAULTS.maxConnections + 50 : random.below(12);
    for (let index = 0; index < count; index++) {
      const srcPort = 1000 + (this.#lastPort++ % 5000);
      this.#send({ op: Op.Request, type, srcPort, dstPort });
      if (isReset) this.#send({ op: Op.Rst, type, srcPort, dstPort });
      if (index % 50 === 49) this.#acceptAll();
    }
  }

  #acceptAll(): void {
    for (const listener of this.#world.services) this.#acceptFrom(listener);
  }

  #acceptFrom(listener: UnixListener): void {
    for (let fd = acceptFrom(listener); fd !== undefined; fd = acceptFrom(listener)) this.#keep(fd);
  }

  #keep(fd: number): void {
    this.#clients.push(fd);
    if (this.#clients.length > MAX_CLIENTS) closeDescriptor(this.#clients.shift() ?? -1);
  }

  #hostActs(): void {
    const random = this.#random;
    this.steps++;
    this.#acceptAll();
    if (this.#clients.length === 0 || random.below(5) === 0) {
      const client = this.#world.local.connectClient();
      this.#keep(client);
      const line = random.pick(LINES);
      if (line !== "") writeDescriptor(client, Buffer.from(line));
      return;
    }
    const which = random.below(this.#clients.length);
    const fd = this.#clients[which] ?? -1;
    switch (random.below(5)) {
      case 0:
        closeDescriptor(fd);
        this.#clients.splice(which, 1);
        return;
      case 1:
        return shutdownWrite(fd);
      case 2:
        readAll(fd);
        return;
      default:
        writeDescriptor(fd, new Uint8Array(1 + random.below(20_000)));
    }
  }

  #receive(): void {
    for (;;) {
      const received = this.#driver.receive();
      if (received === undefined) return;
      const { header, payload } = received;
      promise(header.dstCid === GUEST_CID, "packets are for the guest");
      if (header.srcCid !== 2) {
        promise(header.op === Op.Rst, "other CIDs are answered with RSTs");
        continue;
      }
      promise(payload.length === header.len, "the length is that of the payload");
      this.#ledger.onReceived(header);
      const honest = this.#streams.find(
        ({ guestPort, hostPort }) => guestPort === header.dstPort && hostPort === header.srcPort,
      );
      if (honest !== undefined) honest.onPacket(header, payload);
      else this.#onHostile(header);
    }
  }

  #onHostile(header: PacketHeader): void {
    if (header.op === Op.Rst) this.refused++;
    if (header.op !== Op.Request) return;
    const { srcPort: dstPort, dstPort: srcPort } = header;
    this.#hostPorts[3 + this.#random.below(4)] = dstPort;
    for (let index = 3; index < this.#hostPorts.length; index++) this.#hostPorts[index] ??= dstPort;
    const op = this.#random.pick([Op.Response, Op.Response, Op.Rst, Op.Rw, Op.Shutdown]);
    this.#send({ op, srcPort, dstPort, bufAlloc: this.#random.pick(ALLOCS) });
  }

  #checkBounds(): void {
    const { muxer } = this.#world.local.device;
    promise(muxer.count <= VM_DEFAULTS.maxConnections, "a guest has so many connections");
    promise(muxer.queuedCount <= muxer.count, "no connection that is gone is kept");
    promise(muxer.resets.count <= MAX_RESETS, "a guest has so many resets to be told of");
    let count = 0;
    for (const { vsock } of muxer) {
      count++;
      promise(vsock.waiting <= TX_BUFFER_BYTES, "a connection keeps no more than its buffer");
    }
    promise(count === muxer.count, "connections are counted right");
    promise(this.#driver.guest.isIntact, "nothing around guest memory is written");
  }

  /** Everything that was sent on honest connections arrives. */
  #settle(): void {
    for (let rounds = 0; this.#streams.some((stream) => !stream.isSettled); rounds++) {
      promise(rounds < 1000, "all bytes arrive");
      for (const stream of this.#streams) {
        stream.hostReads();
        stream.guestTells();
      }
      this.#driver.post();
      this.#world.local.turn();
      this.#receive();
    }
  }

  /** From here on nobody keeps to anything; the guest sees only to it that it is looked after. */
  #breakRings(): void {
    const { guest } = this.#driver;
    for (let step = this.#random.below(60); step > 0 && !guest.vmm.isGone; step--) {
      const ring = this.#random.pick([RX, TX] as const);
      for (let count = 1 + this.#random.below(3); count > 0; count--) {
        breakRing(guest.rings[ring], this.#random);
      }
      guest.kick(ring);
      writeDescriptor(this.#clients[0] ?? -1, new Uint8Array(100));
      this.steps++;
      this.#world.local.turn();
      this.#checkBounds();
    }
    if (!guest.vmm.isGone) return;
    this.refused++;
    const why = this.#world.local.log.at(-1) ?? "";
    promise(
      /^the device has stopped: cannot (read ring \d|access guest memory|send a packet to the guest)/.test(
        why,
      ),
      `a device stops for a broken ring alone, not: ${why}`,
    );
  }

  /** Ends it: nothing of it is left. */
  end(): void {
    const { local, services, honest } = this.#world;
    this.#driver.guest.close();
    for (const stream of this.#streams) stream.end();
    local.turn();
    // Broken rings may bring back requests of before, at the honest service too; and what found a
    // full backlog is tried again.
    do {
      for (const listener of [...services, honest]) this.#acceptFrom(listener);
      for (const fd of this.#clients.splice(0)) closeDescriptor(fd);
      local.turn();
    } while (local.device.clients.pending > 0);
    for (const listener of [...services, honest]) this.#acceptFrom(listener);
    for (const fd of this.#clients) closeDescriptor(fd);
    local.turn();
    local.log.length = 0;
  }
}

/** A guest, its VMM and clients of the host. */
export function playDevice(random: Random): { steps: number; refused: number } {
  const { local } = theWorld();
  const before = openDescriptors();
  const session = new Session(random, theWorld());
  try {
    session.run();
  } finally {
    session.end();
  }
  promise(local.device.muxer.count === 0, "no connection outlives its VM");
  // The runtime may have one of its own open for a moment; what leaks stays.
  if (openDescriptors() !== before) Bun.sleepSync(100);
  promise(openDescriptors() === before, "every descriptor is closed");
  return session;
}
