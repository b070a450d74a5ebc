/** The compiled device with VMs that a test plays: one that works all the time, and one for mischief. */
import { readdirSync, readFileSync } from "node:fs";
import { ERRNO } from "../../src/ffi/errno.ts";
import { clearEvent } from "../../src/ffi/eventfd.ts";
import {
  closeDescriptor,
  pollDescriptor,
  POLLIN,
  readDescriptor,
  writeDescriptor,
} from "../../src/ffi/socket.ts";
import { Feature } from "../../src/protocols/vhost-user/features.ts";
import { Op } from "../../src/protocols/virtio-vsock/packet.ts";
import { eventually, Running, ScratchDirectory } from "./binary.ts";
import { connectUnix, type GuestOptions, RX, TestGuest, RawVmm } from "./raw-vmm.ts";
import { type Received, VsockDriver } from "./vsock-driver.ts";

/** What one packet or answer may take, in milliseconds. */
const PATIENCE_MS = 120_000;

/** A guest of a device in another process. */
export class LiveGuest {
  readonly driver: VsockDriver;

  constructor(
    readonly guest: TestGuest,
    cid: number,
  ) {
    this.driver = new VsockDriver(guest, cid);
    this.driver.post();
  }

  /** Waits for the next packet; its payload is a copy. */
  next(): Received {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const received = this.driver.receive();
      if (received !== undefined) {
        const payload = received.payload.slice();
        this.driver.post();
        return { header: received.header, payload };
      }
      if (performance.now() > deadline) throw new Error("no packet of the device");
      const call = this.guest.calls[RX];
      if (pollDescriptor(call, POLLIN, 100) !== 0) clearEvent(call);
    }
  }

  /** The next packet from a port of the host; what others send before it is dropped. */
  nextFrom(hostPort: number): Received {
    for (;;) {
      const received = this.next();
      if (received.header.srcPort === hostPort) return received;
    }
  }

  /** Answers the next request of the host, and gives the host's port; other packets are dropped. */
  accept(): number {
    for (;;) {
      const { header } = this.next();
      if (header.op !== Op.Request) continue;
      this.driver.send({ op: Op.Response, srcPort: header.dstPort, dstPort: header.srcPort });
      return header.srcPort;
    }
  }
}

/** Reads until so many bytes have come, or the end. */
export function readUntil(fd: number, count: number): Buffer {
  const chunks: Buffer[] = [];
  const buffer = new Uint8Array(65_536);
  const deadline = performance.now() + PATIENCE_MS;
  for (let got = 0; got < count;) {
    const taken = readDescriptor(fd, buffer);
    if (taken === -ERRNO.EAGAIN) {
      if (performance.now() > deadline) throw new Error(`${got} bytes of ${count}`);
      pollDescriptor(fd, POLLIN, 100);
    } else if (taken <= 0) break;
    else {
      chunks.push(Buffer.from(buffer.subarray(0, taken)));
      got += taken;
    }
  }
  return Buffer.concat(chunks);
}

/** Waits until the other side has closed; bytes before are dropped. */
export function awaitEnd(fd: number): void {
  readUntil(fd, Infinity);
}

/** A device with a VM 3, for mischief, and a VM 4 whose guest works. */
export class LiveDevice implements AsyncDisposable {
  readonly scratch = new ScratchDirectory();
  readonly socket = this.scratch.file("3.vmm");
  readonly udsPath = this.scratch.file("3.uds");
  readonly goodSocket = this.scratch.file("4.vmm");
  readonly #goodUds = this.scratch.file("4.uds");
  readonly running: Running;
  #good: LiveGuest | undefined;
  #descriptors = 0;
  readonly #booted: LiveGuest[] = [];

  private constructor() {
    this.running = new Running([
      ...["hybrid-proxy", "--vm", `guest-cid=3,socket=${this.socket},uds-path=${this.udsPath}`],
      ...["--vm", `guest-cid=4,socket=${this.goodSocket},uds-path=${this.#goodUds}`],
    ]);
  }

  static async start(): Promise<LiveDevice> {
    const device = new LiveDevice();
    await device.running.says(`waiting for its VMM on ${device.goodSocket}`);
    device.#good = device.#boot(device.goodSocket, 4);
    const before = device.descriptors;
    device.works();
    await eventually("VM 3 is gone", () => device.descriptors === before);
    device.#descriptors = before;
    return device;
  }

  #boot(socket: string, cid: number, options: GuestOptions = {}): LiveGuest {
    // Without an event index, so that each packet is signalled.
    const features = Feature.Version1 | Feature.ProtocolFeatures;
    const guest = new TestGuest(new RawVmm(socket), { features, ...options });
    guest.start();
    return new LiveGuest(guest, cid);
  }

  /** A guest of VM 3. */
  boot(options: GuestOptions = {}): LiveGuest {
    const booted = this.#boot(this.socket, 3, options);
    this.#booted.push(booted);
    return booted;
  }

  /** How many descriptors the process has. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.running.pid}/fd`).length;
  }

  /** What it has of the machine's memory, in bytes. */
  get rssBytes(): number {
    const status = readFileSync(`/proc/${this.running.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  /** Serves a client of the host through a guest: it is sent back what it says. */
  echo(guest: LiveGuest, udsPath: string, text = "are you there?"): void {
    const client = connectUnix(udsPath);
    writeDescriptor(client, Buffer.from(`CONNECT 7\n${text}`));
    const hostPort = guest.accept();
    const ports = { srcPort: 7, dstPort: hostPort };
    const { header, payload } = guest.nextFrom(hostPort);
    if (header.op !== Op.Rw) throw new Error(`operation ${header.op}, where 5 belongs`);
    guest.driver.send({ op: Op.Rw, ...ports, fwdCnt: payload.length, payload });
    const wanted = `OK ${hostPort}\n${text}`;
    const got = readUntil(client, wanted.length).toString();
    if (got !== wanted) throw new Error(`the client was told ${JSON.stringify(got)}`);
    guest.driver.send({ op: Op.Rst, ...ports });
    awaitEnd(client);
    closeDescriptor(client);
  }

  /** The other VM is served, now and in the middle of everything. */
  servesOther(): void {
    if (this.#good === undefined) throw new Error("it has not started");
    this.echo(this.#good, this.#goodUds);
  }

  /** Both VMs are served: a new VMM of VM 3 as well. */
  works(): void {
    this.servesOther();
    const guest = this.boot();
    this.echo(guest, this.udsPath);
    guest.guest.close();
  }

  /** Nothing is left of what came before: all is served, and no descriptor is left. */
  async isAsBefore(): Promise<void> {
    if (this.running.process.exitCode !== null || this.running.process.signalCode !== null) {
      throw new Error(`it has ended: ${this.running.stderr}`);
    }
    // What a test that failed has left.
    for (const { guest } of this.#booted.splice(0)) guest.close();
    await eventually("no descriptor is left", () => this.descriptors === this.#descriptors);
    this.works();
    await eventually("no descriptor is left", () => this.descriptors === this.#descriptors);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#good?.guest.close();
    await this.running[Symbol.asyncDispose]();
    this.scratch[Symbol.dispose]();
  }
}
