/**
 * The rings of a vhost-user device, section "Ring states": stopped, started and disabled, or started and
 * enabled. A ring starts when it is enabled and its size, addresses and kick descriptor are known; it
 * stops by GET_VRING_BASE, a reset, or the end of the connection. Its layout may only change while it is
 * stopped. The I/O side performs the actions that are passed to `act`.
 */
import type { VhostAction } from "./actions.ts";
import { encodeReply, encodeVringState } from "./encode.ts";
import type { VhostRequest } from "./requests.ts";
import { badVhostUserMessage, type RingAddresses } from "./wire.ts";

/** Largest ring that virtio allows; virtio 1.2, 2.7. */
export const MAX_RING_ENTRIES = 32768;

/** A request about one ring. */
type RingRequest = Extract<VhostRequest, { name: `${string}_VRING_${string}` }>;

/** Options of {@link Rings}. */
export interface RingOptions {
  /** Number of rings. */
  count: number;
  /** Largest ring that is accepted; virtio's own limit is {@link MAX_RING_ENTRIES}. */
  maxEntries: number;
  /** Returns the available index up to which a ring that runs has been processed. */
  lastAvailable: (ring: number) => number;
  /** Receives the actions, in order. */
  act: (action: VhostAction) => void;
}

interface RingState {
  entries: number;
  addresses: RingAddresses | undefined;
  base: number;
  kick: number | undefined;
  call: number | undefined;
  err: number | undefined;
  enabled: boolean;
  isRunning: boolean;
}

const newRing = (): RingState => ({
  entries: 0,
  addresses: undefined,
  base: 0,
  kick: undefined,
  call: undefined,
  err: undefined,
  enabled: false,
  isRunning: false,
});

const isPowerOfTwo = (value: number) => value > 0 && (value & (value - 1)) === 0;

/** Alignment of a ring's parts; virtio 1.2, 2.7. */
const ALIGNMENT: Readonly<Record<keyof RingAddresses, number>> = {
  descriptors: 16,
  available: 2,
  used: 4,
};

/** The rings of one connection. */
export class Rings {
  readonly #options: RingOptions;
  readonly #rings: RingState[];

  constructor(options: RingOptions) {
    this.#options = options;
    this.#rings = Array.from({ length: options.count }, newRing);
  }

  /** Number of rings. */
  get count(): number {
    return this.#rings.length;
  }

  /** Whether any ring runs. */
  get isAnyRunning(): boolean {
    return this.#rings.some(({ isRunning }) => isRunning);
  }

  /** Returns whether the ring runs; it is processed while it is enabled as well. */
  isRunning(ring: number): boolean {
    return this.#rings[ring]?.isRunning ?? false;
  }

  /**
   * Handles a request about one ring.
   *
   * @param number of the request, for errors and the reply.
   * @throws {VsockboxError} BAD_DATA: an unknown ring, a value out of range, a change while the ring runs.
   */
  handle(request: RingRequest, number: number): void {
    const index = request.ring;
    const ring = this.#rings[index];
    if (ring === undefined) {
      throw badVhostUserMessage(number, `ring ${index} of ${this.#rings.length}`);
    }
    switch (request.name) {
      case "SET_VRING_NUM":
        this.#setEntries(ring, request.value, number);
        return this.#startIfReady(index, ring);
      case "SET_VRING_BASE":
        setBase(ring, request.value, number);
        return this.#startIfReady(index, ring);
      case "SET_VRING_ADDR":
        setAddresses(ring, request, number);
        return this.#startIfReady(index, ring);
      case "SET_VRING_KICK":
        this.#setKick(index, ring, request.fd, number);
        return this.#startIfReady(index, ring);
      case "SET_VRING_CALL":
        return this.#setNotifier("call", index, ring, request.fd);
      case "SET_VRING_ERR":
        return this.#setNotifier("err", index, ring, request.fd);
      case "SET_VRING_ENABLE":
        if (request.value > 1) throw badVhostUserMessage(number, `state ${request.value}`);
        return this.#enable(index, request.value === 1);
      case "GET_VRING_BASE":
        return this.#getBase(index, ring, number);
      default:
        request satisfies never;
    }
  }

  /** Enables or disables all rings. */
  enableAll(enabled: boolean): void {
    for (const index of this.#rings.keys()) this.#enable(index, enabled);
  }

  /** Stops all rings and forgets their layout; the descriptors for calls and errors are kept. */
  reset(): void {
    for (const [index, ring] of this.#rings.entries()) {
      this.#stop(index, ring);
      this.#rings[index] = { ...newRing(), call: ring.call, err: ring.err };
    }
  }

  /** Stops all rings at the end of the connection and closes their descriptors. */
  end(): void {
    for (const [index, ring] of this.#rings.entries()) {
      this.#stop(index, ring);
      this.#close(ring.call);
      this.#close(ring.err);
      this.#rings[index] = newRing();
    }
  }

  #close(fd: number | undefined): void {
    if (fd !== undefined) this.#options.act({ kind: "close", fd });
  }

  #setEntries(ring: RingState, entries: number, number: number): void {
    refuseWhileRunning(ring, number);
    const most = Math.min(this.#options.maxEntries, MAX_RING_ENTRIES);
    if (entries > most) throw badVhostUserMessage(number, `${entries} entries are above ${most}`);
    if (!isPowerOfTwo(entries)) {
      throw badVhostUserMessage(number, `${entries} entries are not a power of two`);
    }
    ring.entries = entries;
  }

  #setKick(index: number, ring: RingState, fd: number | undefined, number: number): void {
    if (fd === undefined) {
      throw badVhostUserMessage(number, "no descriptor: a ring that is polled is not supported");
    }
    if (ring.isRunning) this.#options.act({ kind: "kick", ring: index, fd });
    this.#close(ring.kick);
    ring.kick = fd;
  }

  /** Sets the descriptor by which the device notifies the VMM of used buffers or of an error. */
  #setNotifier(kind: "call" | "err", index: number, ring: RingState, fd: number | undefined): void {
    if (ring.isRunning) this.#options.act({ kind, ring: index, fd });
    this.#close(ring[kind]);
    ring[kind] = fd;
  }

  #enable(index: number, enabled: boolean): void {
    const ring = this.#rings[index];
    if (ring === undefined || ring.enabled === enabled) return;
    ring.enabled = enabled;
    if (ring.isRunning) this.#options.act({ kind: "enable", ring: index, enabled });
    else this.#startIfReady(index, ring);
  }

  #startIfReady(index: number, ring: RingState): void {
    const { isRunning, enabled, entries, addresses, base, kick, call, err } = ring;
    if (isRunning || !enabled || entries === 0) return;
    if (addresses === undefined || kick === undefined) return;
    ring.isRunning = true;
    const setup = { entries, addresses, base, kick, call, err };
    this.#options.act({ kind: "start", ring: index, setup });
  }

  /** Section "VHOST_USER_GET_VRING_BASE": it stops the ring as well. */
  #getBase(index: number, ring: RingState, number: number): void {
    if (ring.isRunning) ring.base = this.#options.lastAvailable(index) & 0xffff;
    this.#stop(index, ring);
    const bytes = encodeReply(number, encodeVringState(index, ring.base));
    this.#options.act({ kind: "reply", bytes });
  }

  /** The kick descriptor is closed, so that the ring does not start again before the VMM sends another. */
  #stop(index: number, ring: RingState): void {
    if (ring.isRunning) this.#options.act({ kind: "stop", ring: index });
    ring.isRunning = false;
    this.#close(ring.kick);
    ring.kick = undefined;
  }
}

function refuseWhileRunning(ring: RingState, number: number): void {
  if (ring.isRunning) throw badVhostUserMessage(number, "the ring runs");
}

function setBase(ring: RingState, base: number, number: number): void {
  refuseWhileRunning(ring, number);
  if (base > 0xffff) throw badVhostUserMessage(number, `index ${base} is above 65535`);
  ring.base = base;
}

function setAddresses(
  ring: RingState,
  { addresses, flags }: { addresses: RingAddresses; flags: number },
  number: number,
): void {
  refuseWhileRunning(ring, number);
  // Bit 0 is VHOST_VRING_F_LOG, meaningless without logging; there are no others.
  if (flags !== 0) throw badVhostUserMessage(number, `flags ${flags}: logging was not offered`);
  for (const part of ["descriptors", "available", "used"] as const) {
    if (addresses[part] % ALIGNMENT[part] !== 0) {
      throw badVhostUserMessage(number, `${part}: not aligned to ${ALIGNMENT[part]} bytes`);
    }
  }
  ring.addresses = addresses;
}
