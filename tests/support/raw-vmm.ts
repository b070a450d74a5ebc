/** A VMM for tests: the other end of vhost-user, with a guest of shared memory and nothing in it. */
import { ERRNO } from "../../src/ffi/errno.ts";
import { openEvent, signalEvent } from "../../src/ffi/eventfd.ts";
import { mapShared, type SharedMapping } from "../../src/ffi/mmap.ts";
import { sendWithDescriptors } from "../../src/ffi/scm-rights.ts";
import { AF_UNIX, encodeSockaddrUn } from "../../src/ffi/sockaddr.ts";
import {
  closeDescriptor,
  openSocket,
  pollDescriptor,
  POLLIN,
  readDescriptor,
  SOCK_STREAM,
  startConnect,
} from "../../src/ffi/socket.ts";
import {
  encodeRegions,
  encodeRequest,
  encodeRingDescriptor,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
} from "../../src/protocols/vhost-user/encode.ts";
import { Feature } from "../../src/protocols/vhost-user/features.ts";
import {
  VHOST_USER_HEADER_BYTES as MESSAGE_HEADER_BYTES,
  type RequestName,
} from "../../src/protocols/vhost-user/wire.ts";
import { openMemory } from "./memfd.ts";
import { DriverRing } from "./vhost.ts";

/** Waits until something may have come in: a live device needs time, one in this process a round. */
export type Pump = (fd: number) => void;

/** For a device in another process: blocks for a while. */
export const blocking: Pump = (fd) => void pollDescriptor(fd, POLLIN, 2000);

/** A device that has said nothing after so many pumps never will. */
const MAX_PUMPS = 15;

/** Connects to a Unix socket, without waiting. */
export function connectUnix(path: string): number {
  const fd = openSocket(AF_UNIX, SOCK_STREAM, path);
  const errno = startConnect(fd, encodeSockaddrUn(path));
  if (errno === 0) return fd;
  closeDescriptor(fd);
  throw new Error(`connect to ${path}: errno ${errno}`);
}

/** A connection to a device's socket. */
export class RawVmm {
  readonly fd: number;
  readonly #pump: Pump;

  constructor(path: string, pump: Pump = blocking) {
    this.fd = connectUnix(path);
    this.#pump = pump;
  }

  /** Sends bytes as they are. Gives how many the socket took, or the errno as a negative number. */
  sendRaw(bytes: Uint8Array, fds: readonly number[] = []): number {
    return sendWithDescriptors(this.fd, bytes, fds);
  }

  /** Sends a request that has no answer. */
  post(name: RequestName, payload?: Uint8Array, fds: readonly number[] = []): void {
    this.sendRaw(encodeRequest(name, payload), fds);
  }

  /** Sends a request and gives its answer's payload; undefined where the device closes instead. */
  ask(name: RequestName, payload?: Uint8Array): Uint8Array | undefined {
    this.post(name, payload);
    return this.answer();
  }

  /** The payload of the next answer; undefined where the device closes instead. */
  answer(): Uint8Array | undefined {
    const header = this.#read(MESSAGE_HEADER_BYTES);
    return header === undefined
      ? undefined
      : this.#read(new DataView(header.buffer).getUint32(8, true));
  }

  #read(size: number): Uint8Array<ArrayBuffer> | undefined {
    const bytes = new Uint8Array(size);
    for (let filled = 0, pumps = 0; filled < size;) {
      const count = readDescriptor(this.fd, bytes.subarray(filled));
      if (count === -ERRNO.EAGAIN) this.#pumpAgain(++pumps);
      else if (count <= 0) return undefined;
      else filled += count;
    }
    return bytes;
  }

  /** Whether the device has closed the connection; answers that were not read are dropped. */
  get isGone(): boolean {
    const scrap = new Uint8Array(4096);
    for (;;) {
      const count = readDescriptor(this.fd, scrap);
      if (count === -ERRNO.EAGAIN) return false;
      if (count <= 0) return true;
    }
  }

  /** Waits until the device has closed the connection. */
  awaitEnd(): void {
    for (let pumps = 0; !this.isGone;) this.#pumpAgain(++pumps);
  }

  #pumpAgain(pumps: number): void {
    if (pumps > MAX_PUMPS) throw new Error("the device neither answers nor hangs up");
    this.#pump(this.fd);
  }

  close(): void {
    closeDescriptor(this.fd);
  }
}

/** Where the guest's memory is for its VMM. */
export const USER_BASE = 0x7f00_0000_0000;

/** Bytes around the guest's memory in its file; the nearest of them are looked at. */
export const GUARD_BYTES = 65_536;
const INTACT = new Uint8Array(256).fill(0xa5);

/** What a {@link TestGuest} is made of. */
export interface GuestOptions {
  /** Size of its rings. */
  entries?: number;
  /** Where the rings begin to count. */
  base?: number;
  /** Size of the guest's memory in bytes. */
  size?: number;
  features?: bigint;
  /** For memfd_create(2). */
  memoryFlags?: number;
  /** Cuts the guest's memory into two regions here. */
  cutAt?: number | undefined;
}

/** The rings of a vsock device that a VMM like QEMU sets up. */
export const RX = 0;
export const TX = 1;

/** Memory with two rings in it, as a driver has set them up. */
export class TestGuest {
  readonly vmm: RawVmm;
  readonly memoryFd: number;
  readonly size: number;
  /** The guest's memory. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly rings: readonly [rx: DriverRing, tx: DriverRing];
  readonly kicks: readonly [number, number] = [openEvent(), openEvent()];
  readonly calls: readonly [number, number] = [openEvent(), openEvent()];
  /** First byte behind the rings. */
  readonly data: number;
  readonly #mapping: SharedMapping;
  readonly #guards: Uint8Array[];
  readonly #options: GuestOptions;
  #isClosed = false;

  constructor(vmm: RawVmm, options: GuestOptions = {}) {
    this.vmm = vmm;
    this.#options = options;
    const { entries = 64, base = 0, size = 1 << 20 } = options;
    this.size = size;
    this.memoryFd = openMemory(size + 2 * GUARD_BYTES, options.memoryFlags);
    this.#mapping = mapShared(this.memoryFd, 0, size + 2 * GUARD_BYTES);
    this.#guards = [GUARD_BYTES - INTACT.length, GUARD_BYTES + size].map((at) =>
      this.#mapping.view(at, INTACT.length),
    );
    for (const guard of this.#guards) guard.set(INTACT);
    this.bytes = this.#mapping.view(GUARD_BYTES, size);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, size);
    const rx = new DriverRing(this.view, entries);
    const tx = new DriverRing(this.view, entries, Math.ceil(rx.end / 64) * 64);
    this.data = Math.ceil(tx.end / 4096) * 4096;
    this.rings = [rx, tx];
    for (const ring of this.rings) {
      ring.setIndex(base);
      this.view.setUint16(ring.addresses.used + 2, base & 0xffff, true);
    }
  }

  /** Whether nothing was written around the guest's memory. */
  get isIntact(): boolean {
    return this.#guards.every((guard) => Buffer.compare(guard, INTACT) === 0);
  }

  /** SET_MEM_TABLE. */
  tellMemory(): void {
    const cut = this.#options.cutAt;
    const parts =
      cut === undefined
        ? [[0, this.size]]
        : [
            [0, cut],
            [cut, this.size - cut],
          ];
    const regions = parts.map(([begin = 0, size = 0]) => ({
      guestAddress: begin,
      size,
      userAddress: USER_BASE + begin,
      mmapOffset: GUARD_BYTES + begin,
    }));
    this.vmm.post(
      "SET_MEM_TABLE",
      encodeRegions(regions),
      regions.map(() => this.memoryFd),
    );
  }

  /** All that a ring needs before it is enabled. */
  tellRing(index: 0 | 1): void {
    const { vmm } = this;
    const { addresses, entries } = this.rings[index];
    vmm.post("SET_VRING_NUM", encodeVringState(index, entries));
    vmm.post("SET_VRING_BASE", encodeVringState(index, (this.#options.base ?? 0) & 0xffff));
    const user = {
      descriptors: USER_BASE + addresses.descriptors,
      available: USER_BASE + addresses.available,
      used: USER_BASE + addresses.used,
    };
    vmm.post("SET_VRING_ADDR", encodeVringAddresses(index, user));
    vmm.post("SET_VRING_CALL", encodeRingDescriptor(index), [this.calls[index]]);
    vmm.post("SET_VRING_KICK", encodeRingDescriptor(index), [this.kicks[index]]);
  }

  /** Everything that QEMU says when it connects and its guest's driver starts. */
  start(): void {
    const { vmm } = this;
    vmm.ask("GET_FEATURES");
    vmm.ask("GET_PROTOCOL_FEATURES");
    vmm.post("SET_PROTOCOL_FEATURES", encodeU64(0x9n));
    vmm.post("SET_OWNER");
    const features = Feature.Version1 | Feature.ProtocolFeatures | Feature.EventIndex;
    vmm.post("SET_FEATURES", encodeU64(this.#options.features ?? features));
    this.tellMemory();
    for (const ring of [RX, TX] as const) this.tellRing(ring);
    for (const ring of [RX, TX]) vmm.post("SET_VRING_ENABLE", encodeVringState(ring, 1));
    // All requests before it have been done when this one is answered.
    vmm.ask("GET_QUEUE_NUM");
  }

  /** Tells the device that a ring has something. */
  kick(ring: 0 | 1): void {
    signalEvent(this.kicks[ring]);
  }

  /** Closes everything, the connection too. A second call does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.vmm.close();
    this.#mapping.unmap();
    for (const fd of [this.memoryFd, ...this.kicks, ...this.calls]) closeDescriptor(fd);
  }
}
