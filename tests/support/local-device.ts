/** A vsock device in this process, turned round by round: what a test does and sees is in order. */
import { readdirSync } from "node:fs";
import { VM_DEFAULTS } from "../../src/device/config/vm-config.ts";
import { ERRNO } from "../../src/ffi/errno.ts";
import { acceptSocket, closeDescriptor, readDescriptor } from "../../src/ffi/socket.ts";
import { openUnixListener, type UnixListener } from "../../src/net/listen.ts";
import type { SocketOwners } from "../../src/net/socket-owner.ts";
import type { ListenerSource } from "../../src/device/host/listening-sockets.ts";
import type { DeviceOptions } from "../../src/device/device-options.ts";
import { VsockDevice } from "../../src/device/device.ts";
import { EventLoop } from "../../src/io/event-loop.ts";
import { UnixBackend } from "../../src/device/host/unix-backend.ts";
import { ScratchDirectory } from "./scratch-directory.ts";
import { connectUnix, type GuestOptions, TestGuest, RawVmm } from "./raw-vmm.ts";
import { VsockDriver } from "./vsock-driver.ts";

/** The guest's CID. */
export const GUEST_CID = 3;

/** Rounds after which a device that still has something to do hangs. */
const MAX_ROUNDS = 10_000;

/** Options of {@link LocalDevice}. */
export interface LocalDeviceOptions extends Partial<
  Pick<
    DeviceOptions,
    | "guestCid"
    | "txBufferSize"
    | "queueSize"
    | "maxConnections"
    | "connectTimeoutMs"
    | "rateFromGuest"
    | "rateToGuest"
    | "burst"
  >
> {
  /** Where host clients connect. */
  udsPath?: string;
  /** Users whose services the guest may reach. */
  socketOwners?: SocketOwners;
}

/** The device, its directory and what it has said. */
export class LocalDevice implements Disposable {
  readonly scratch = new ScratchDirectory();
  readonly loop = new EventLoop();
  readonly log: string[] = [];
  readonly device: VsockDevice;
  readonly socket = this.scratch.file("vmm");
  readonly udsPath: string;
  readonly #listeners: UnixListener[] = [];

  constructor({ udsPath, socketOwners, ...options }: LocalDeviceOptions = {}) {
    this.udsPath = udsPath ?? this.scratch.file("uds");
    const seqpacketPath = `${this.udsPath}.seq`;
    const listeners: ListenerSource = {
      unix: (path) =>
        openUnixListener({ kind: "unix", path }, { seqpacket: path === seqpacketPath }),
      vsock: () => {
        throw new Error("there is none here");
      },
    };
    const say = (message: string) => void this.log.push(message);
    this.device = new VsockDevice(
      {
        guestCid: GUEST_CID,
        vmmListener: openUnixListener({ kind: "unix", path: this.socket }),
        openBackend: (take) =>
          new UnixBackend(
            this.loop,
            { udsPath: this.udsPath, seqpacketPath, socketOwners },
            listeners,
            take,
            say,
          ),
        txBufferSize: 65_536,
        queueSize: 1024,
        maxConnections: VM_DEFAULTS.maxConnections,
        ...options,
      },
      this.loop,
      { debug: say, info: say, warn: say },
    );
  }

  /** Rounds until nothing is left to be done. */
  readonly turn = (): void => {
    for (let rounds = 0; this.loop.round(0); rounds++) {
      if (rounds === MAX_ROUNDS) throw new Error(`busy after ${MAX_ROUNDS} rounds`);
    }
  };

  /** A VMM that has said nothing yet. */
  connectVmm(): RawVmm {
    const vmm = new RawVmm(this.socket, this.turn);
    this.turn();
    return vmm;
  }

  /** A guest whose driver runs. */
  startGuest(options: GuestOptions = {}): VsockDriver {
    const guest = new TestGuest(this.connectVmm(), options);
    guest.start();
    this.turn();
    return new VsockDriver(guest, this.device.guestCid);
  }

  /** A client of the host that has said nothing yet. */
  connectClient(): number {
    return connectUnix(this.udsPath);
  }

  /** A service of the host for a port of the guest. */
  listen(port: number, seqpacket = false): UnixListener {
    const path = `${this.udsPath}_${port}`;
    const listener = openUnixListener({ kind: "unix", path }, { seqpacket });
    this.#listeners.push(listener);
    return listener;
  }

  [Symbol.dispose](): void {
    this.device.close();
    for (const { fd } of this.#listeners) closeDescriptor(fd);
    this.scratch[Symbol.dispose]();
  }
}

/** Accepts what waits at a service; undefined where nothing does. */
export function acceptFrom(listener: UnixListener): number | undefined {
  return acceptSocket(listener.fd, { operation: "accept" });
}

const scrap = new Uint8Array(65_536);

/** Reads until the end of input or an error, and lets the device go on in between. */
export function readSlowly(fd: number, turn: () => void): Buffer {
  const chunks: Buffer[] = [];
  for (let idle = 0; idle < 10;) {
    const count = readDescriptor(fd, scrap);
    if (count > 0) chunks.push(Buffer.from(scrap.subarray(0, count)));
    else if (count !== -ERRNO.EAGAIN) return Buffer.concat(chunks);
    idle = count > 0 ? 0 : idle + 1;
    turn();
  }
  throw new Error("its end does not come");
}

/** All that can be read from a socket now; undefined at its end with nothing before it. */
export function readAll(fd: number): Buffer | undefined {
  const chunks: Buffer[] = [];
  for (;;) {
    const count = readDescriptor(fd, scrap);
    if (count > 0) chunks.push(Buffer.from(scrap.subarray(0, count)));
    else if (count === -ERRNO.EAGAIN || chunks.length > 0) return Buffer.concat(chunks);
    else return undefined;
  }
}

/** How many descriptors this process has. */
export const openDescriptors = (): number => readdirSync("/proc/self/fd").length;
