/**
 * The back end of a vhost-user connection: messages of the VMM in, actions out; no I/O. The document is
 * docs/interop/vhost-user.rst of QEMU; section names below are from it.
 *
 * A session: the VMM reads the features and sets the accepted ones, sends the memory regions of the guest
 * with a descriptor each, and for each ring its size, addresses, base index, and the descriptors for kicks
 * (driver to device) and calls (device to driver). A ring runs between its kick descriptor and
 * GET_VRING_BASE, and is processed while it is enabled.
 *
 * `handle` validates one message against that state and returns the actions that the I/O side performs
 * (map memory, start or stop a ring, reply). A message that breaks the protocol ends the connection; one
 * that cannot be performed is answered with a failure if the VMM has asked for replies. Descriptors are
 * owned by this state until an action hands them over. The VMM is not trusted.
 */
import type { OfferedRegion, VhostAction } from "./actions.ts";
import { encodeConfig, encodeReply, encodeU64, encodeVringState } from "./encode.ts";
import {
  DEFAULT_FEATURES,
  DEFAULT_PROTOCOL_FEATURES,
  Feature,
  ProtocolFeature,
} from "./features.ts";
import { decodeRequest, overlapOf, type VhostRequest } from "./requests.ts";
import {
  badVhostUserMessage,
  HeaderFlag,
  knownRequest,
  MAX_MEMORY_BYTES,
  MAX_REGIONS,
  type RegionDescription,
  type RequestName,
  type RingAddresses,
  type VhostMessage,
} from "./wire.ts";

/** Rings of a vsock device: receive, transmit, event; virtio 1.2, 5.10.2. */
const VSOCK_RINGS = 3;

/** Largest ring that virtio allows; virtio 1.2, 2.7. */
export const MAX_RING_ENTRIES = 32768;

/** Default limit of a ring's size: the default of `--queue-size`. */
const DEFAULT_RING_ENTRIES = 1024;

/** Rules of a request. */
interface RequestRule {
  /** Protocol feature that has to be negotiated before the request. */
  readonly gate: bigint;
  /** Whether it has a reply of its own, to which REPLY_ACK adds none. */
  readonly hasReply: boolean;
}

const rule = (gate: bigint, hasReply: boolean): RequestRule => ({ gate, hasReply });

const RULES: Readonly<Record<RequestName, RequestRule>> = {
  GET_FEATURES: rule(0n, true),
  SET_FEATURES: rule(0n, false),
  SET_OWNER: rule(0n, false),
  RESET_OWNER: rule(0n, false),
  SET_MEM_TABLE: rule(0n, false),
  SET_LOG_BASE: rule(0n, true),
  SET_LOG_FD: rule(0n, false),
  SET_VRING_NUM: rule(0n, false),
  SET_VRING_ADDR: rule(0n, false),
  SET_VRING_BASE: rule(0n, false),
  GET_VRING_BASE: rule(0n, true),
  SET_VRING_KICK: rule(0n, false),
  SET_VRING_CALL: rule(0n, false),
  SET_VRING_ERR: rule(0n, false),
  GET_PROTOCOL_FEATURES: rule(0n, true),
  SET_PROTOCOL_FEATURES: rule(0n, false),
  GET_QUEUE_NUM: rule(ProtocolFeature.MultipleQueues, true),
  SET_VRING_ENABLE: rule(0n, false),
  SET_BACKEND_REQ_FD: rule(ProtocolFeature.BackendRequests, false),
  GET_CONFIG: rule(ProtocolFeature.Config, true),
  SET_CONFIG: rule(ProtocolFeature.Config, false),
  RESET_DEVICE: rule(ProtocolFeature.ResetDevice, false),
  GET_MAX_MEM_SLOTS: rule(ProtocolFeature.ConfigureMemSlots, true),
  ADD_MEM_REG: rule(ProtocolFeature.ConfigureMemSlots, false),
  REM_MEM_REG: rule(ProtocolFeature.ConfigureMemSlots, false),
  SET_STATUS: rule(ProtocolFeature.Status, false),
  GET_STATUS: rule(ProtocolFeature.Status, true),
};

/** Payloads of an acknowledgement: zero is success. */
const DONE = 0n;
const FAILED = 1n;

/** Options of {@link VhostBackend}. */
export interface VhostBackendOptions {
  /** The device's configuration space, for GET_CONFIG. */
  config: Uint8Array;
  /** The available index up to which a ring that runs has been processed. */
  lastAvailable: (ring: number) => number;
  /** Offered to the driver: {@link DEFAULT_FEATURES}. */
  features?: bigint;
  /** Offered to the VMM: {@link DEFAULT_PROTOCOL_FEATURES}. */
  protocolFeatures?: bigint;
  /** How many there are: {@link VSOCK_RINGS}. */
  rings?: number;
  /** Largest ring that is accepted: {@link DEFAULT_RING_ENTRIES}. */
  maxRingEntries?: number;
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

/** One VMM's connection. Whatever it sends, only this connection ends by it. */
export class VhostBackend {
  readonly #config: Uint8Array;
  readonly #lastAvailable: (ring: number) => number;
  readonly #offered: bigint;
  readonly #offeredProtocol: bigint;
  readonly #maxRingEntries: number;
  readonly #rings: RingState[];
  #regions: RegionDescription[] = [];
  #features = 0n;
  #protocolFeatures = 0n;
  #status = 0n;
  /** The descriptor for requests of the back end to the VMM. */
  #requests: number | undefined;
  #actions: VhostAction[] = [];

  constructor(options: VhostBackendOptions) {
    this.#config = options.config;
    this.#lastAvailable = options.lastAvailable;
    this.#offered = options.features ?? DEFAULT_FEATURES;
    this.#offeredProtocol = options.protocolFeatures ?? DEFAULT_PROTOCOL_FEATURES;
    this.#maxRingEntries = options.maxRingEntries ?? DEFAULT_RING_ENTRIES;
    this.#rings = Array.from({ length: options.rings ?? VSOCK_RINGS }, newRing);
  }

  /** The offered features that the driver has accepted. */
  get features(): bigint {
    return this.#features;
  }

  /** Whether the ring runs; it is looked after while it is enabled as well. */
  isRunning(ring: number): boolean {
    return this.#rings[ring]?.isRunning ?? false;
  }

  /**
   * Handles a message and returns the actions for it.
   *
   * @throws {VsockboxError} BAD_DATA, naming the message, which has changed nothing then: its
   * descriptors are the caller's to close. The caller sends {@link refusal} if there is one, does
   * the actions of {@link end}, and closes the connection.
   */
  handle(message: VhostMessage): VhostAction[] {
    const request = decodeRequest(message);
    const { gate } = RULES[request.name];
    if ((this.#protocolFeatures & gate) !== gate) {
      throw badVhostUserMessage(message.request, "its protocol feature was not negotiated");
    }
    this.#actions = [];
    const isDone = this.#dispatch(request, message);
    const ack = this.#acknowledgement(message, isDone ? DONE : FAILED);
    if (ack !== undefined) this.#do({ kind: "reply", bytes: ack });
    return this.#actions;
  }

  /** Returns the reply to a message that could not be performed, if the VMM has asked for replies. */
  refusal(message: VhostMessage): Uint8Array | undefined {
    return this.#acknowledgement(message, FAILED);
  }

  /** Returns the actions after the end of the connection, and resets the state. */
  end(): VhostAction[] {
    this.#actions = [];
    for (const [index, ring] of this.#rings.entries()) {
      this.#stop(index, ring);
      this.#close(ring.call);
      this.#close(ring.err);
      this.#rings[index] = newRing();
    }
    this.#close(this.#requests);
    this.#requests = undefined;
    if (this.#regions.length > 0) this.#do({ kind: "map-table", regions: [] });
    this.#regions = [];
    this.#features = 0n;
    this.#protocolFeatures = 0n;
    this.#status = 0n;
    return this.#actions;
  }

  #do(action: VhostAction): void {
    this.#actions.push(action);
  }

  #close(fd: number | undefined): void {
    if (fd !== undefined) this.#do({ kind: "close", fd });
  }

  #reply(message: VhostMessage, payload: Uint8Array): void {
    this.#do({ kind: "reply", bytes: encodeReply(message.request, payload) });
  }

  /** Section "VHOST_USER_PROTOCOL_F_REPLY_ACK". */
  #acknowledgement(message: VhostMessage, value: bigint): Uint8Array | undefined {
    const isWanted = (message.flags & HeaderFlag.NeedReply) !== 0;
    const isNegotiated = (this.#protocolFeatures & ProtocolFeature.ReplyAck) !== 0n;
    const name = knownRequest(message.request);
    const hasReply = name !== undefined && RULES[name].hasReply;
    if (!isWanted || !isNegotiated || hasReply) return undefined;
    return encodeReply(message.request, encodeU64(value));
  }

  /** Whether it was performed; false if it is refused without ending the connection. */
  #dispatch(request: VhostRequest, message: VhostMessage): boolean {
    switch (request.name) {
      case "GET_FEATURES":
        this.#reply(message, encodeU64(this.#offered));
        return true;
      case "SET_FEATURES":
        this.#setFeatures(request.value, message);
        return true;
      case "GET_PROTOCOL_FEATURES":
        this.#reply(message, encodeU64(this.#offeredProtocol));
        return true;
      case "SET_PROTOCOL_FEATURES":
        this.#setProtocolFeatures(request.value, message);
        return true;
      case "SET_OWNER":
        return true;
      case "RESET_OWNER":
        for (const index of this.#rings.keys()) this.#enable(index, false);
        return true;
      case "SET_LOG_BASE":
      case "SET_LOG_FD":
        throw badVhostUserMessage(message.request, "logging was not offered");
      case "GET_QUEUE_NUM":
        this.#reply(message, encodeU64(BigInt(this.#rings.length)));
        return true;
      case "GET_MAX_MEM_SLOTS":
        this.#reply(message, encodeU64(BigInt(MAX_REGIONS)));
        return true;
      case "GET_STATUS":
        this.#reply(message, encodeU64(this.#status));
        return true;
      case "SET_STATUS":
        this.#setStatus(request.value, message);
        return true;
      case "RESET_DEVICE":
        this.#reset();
        return true;
      case "SET_MEM_TABLE":
        this.#setTable(request.regions, message);
        return true;
      case "ADD_MEM_REG":
        this.#addRegion(request.region, message);
        return true;
      case "REM_MEM_REG":
        this.#removeRegion(request.region, message);
        return true;
      case "GET_CONFIG":
        this.#getConfig(request.offset, request.bytes.length, request.flags, message);
        return true;
      case "SET_BACKEND_REQ_FD":
        this.#close(this.#requests);
        [this.#requests] = message.fds;
        return true;
      case "SET_CONFIG":
        // Nothing in a vsock device's configuration is the driver's to write; virtio 1.2, 5.10.4.
        return false;
      case "SET_VRING_NUM":
      case "SET_VRING_ADDR":
      case "SET_VRING_BASE":
      case "GET_VRING_BASE":
      case "SET_VRING_KICK":
      case "SET_VRING_CALL":
      case "SET_VRING_ERR":
      case "SET_VRING_ENABLE":
        this.#onRing(request, message);
        return true;
    }
  }

  #onRing(
    request: Extract<VhostRequest, { name: `${string}_VRING_${string}` }>,
    message: VhostMessage,
  ): void {
    const index = request.ring;
    const ring = this.#rings[index];
    if (ring === undefined) {
      throw badVhostUserMessage(message.request, `ring ${index} of ${this.#rings.length}`);
    }
    switch (request.name) {
      case "SET_VRING_NUM":
        this.#setEntries(ring, request.value, message);
        break;
      case "SET_VRING_BASE":
        this.#setBase(ring, request.value, message);
        break;
      case "SET_VRING_ADDR":
        this.#setAddresses(ring, request, message);
        break;
      case "GET_VRING_BASE":
        this.#getBase(index, ring, message);
        return;
      case "SET_VRING_ENABLE":
        if (request.value > 1) throw badVhostUserMessage(message.request, `state ${request.value}`);
        this.#enable(index, request.value === 1);
        return;
      case "SET_VRING_KICK":
        this.#setKick(index, ring, request.fd, message);
        break;
      case "SET_VRING_CALL":
        if (ring.isRunning) this.#do({ kind: "call", ring: index, fd: request.fd });
        this.#close(ring.call);
        ring.call = request.fd;
        return;
      case "SET_VRING_ERR":
        if (ring.isRunning) this.#do({ kind: "err", ring: index, fd: request.fd });
        this.#close(ring.err);
        ring.err = request.fd;
        return;
    }
    this.#startIfReady(index, ring);
  }

  #setFeatures(features: bigint, message: VhostMessage): void {
    const unknown = features & ~this.#offered;
    if (unknown !== 0n) {
      throw badVhostUserMessage(
        message.request,
        `features 0x${unknown.toString(16)} were not offered`,
      );
    }
    if (features !== this.#features && this.#rings.some((ring) => ring.isRunning)) {
      throw badVhostUserMessage(message.request, "other features while a ring runs");
    }
    this.#features = features;
    this.#do({ kind: "features", features });
    // Section "Ring states": without protocol features no message enables a ring.
    if ((features & Feature.ProtocolFeatures) !== 0n) return;
    for (const index of this.#rings.keys()) this.#enable(index, true);
  }

  #setProtocolFeatures(features: bigint, message: VhostMessage): void {
    const unknown = features & ~this.#offeredProtocol;
    if (unknown !== 0n) {
      const bits = unknown.toString(16);
      throw badVhostUserMessage(message.request, `protocol features 0x${bits} were not offered`);
    }
    this.#protocolFeatures = features;
  }

  #setStatus(status: bigint, message: VhostMessage): void {
    // virtio 1.2, 2.1: the status is eight bits; zero is a reset.
    if (status > 0xffn)
      throw badVhostUserMessage(message.request, "a status of more than eight bits");
    this.#status = status;
    if (status === 0n) this.#reset();
  }

  #reset(): void {
    for (const [index, ring] of this.#rings.entries()) {
      this.#stop(index, ring);
      this.#rings[index] = { ...newRing(), call: ring.call, err: ring.err };
    }
    this.#status = 0n;
    this.#do({ kind: "reset" });
  }

  #setTable(regions: RegionDescription[], message: VhostMessage): void {
    this.#checkRegions(regions, message);
    this.#regions = regions;
    const offered = regions.map((region, index) => offer(region, message, index));
    this.#do({ kind: "map-table", regions: offered });
  }

  #addRegion(region: RegionDescription, message: VhostMessage): void {
    const regions = [...this.#regions, region];
    this.#checkRegions(regions, message);
    this.#regions = regions;
    this.#do({ kind: "add-region", region: offer(region, message, 0) });
  }

  #removeRegion(wanted: RegionDescription, message: VhostMessage): void {
    // "The memory region to be removed is identified by its guest address, user address and size."
    const found = this.#regions.find(
      ({ guestAddress, userAddress, size }) =>
        guestAddress === wanted.guestAddress &&
        userAddress === wanted.userAddress &&
        size === wanted.size,
    );
    if (found === undefined) throw badVhostUserMessage(message.request, "unknown memory region");
    this.#regions = this.#regions.filter((region) => region !== found);
    this.#do({ kind: "remove-region", region: found });
    this.#close(message.fds[0]);
  }

  #checkRegions(regions: readonly RegionDescription[], message: VhostMessage): void {
    if (regions.length > MAX_REGIONS) {
      throw badVhostUserMessage(
        message.request,
        `${regions.length} regions are above ${MAX_REGIONS}`,
      );
    }
    const bytes = regions.reduce((sum, { size }) => sum + size, 0);
    if (bytes > MAX_MEMORY_BYTES) {
      throw badVhostUserMessage(
        message.request,
        `${bytes} bytes of memory are above ${MAX_MEMORY_BYTES}`,
      );
    }
    const overlap = overlapOf(regions);
    if (overlap === undefined) return;
    const [first, second] = overlap.map(({ guestAddress }) => `0x${guestAddress.toString(16)}`);
    throw badVhostUserMessage(message.request, `the regions at ${first} and ${second} overlap`);
  }

  #getConfig(offset: number, size: number, flags: number, message: VhostMessage): void {
    // An answer without a payload is the document's way to refuse.
    const isBeyond = offset >= this.#config.length;
    const bytes = new Uint8Array(size);
    bytes.set(this.#config.subarray(offset, offset + size));
    this.#reply(message, isBeyond ? new Uint8Array(0) : encodeConfig(offset, bytes, flags));
  }

  #setEntries(ring: RingState, entries: number, message: VhostMessage): void {
    this.#refuseWhileRunning(ring, message);
    const most = Math.min(this.#maxRingEntries, MAX_RING_ENTRIES);
    if (entries > most)
      throw badVhostUserMessage(message.request, `${entries} entries are above ${most}`);
    if (!isPowerOfTwo(entries)) {
      throw badVhostUserMessage(message.request, `${entries} entries are not a power of two`);
    }
    ring.entries = entries;
  }

  #setBase(ring: RingState, base: number, message: VhostMessage): void {
    this.#refuseWhileRunning(ring, message);
    if (base > 0xffff) throw badVhostUserMessage(message.request, `index ${base} is above 65535`);
    ring.base = base;
  }

  #setAddresses(
    ring: RingState,
    { addresses, flags }: { addresses: RingAddresses; flags: number },
    message: VhostMessage,
  ): void {
    this.#refuseWhileRunning(ring, message);
    // Bit 0 is VHOST_VRING_F_LOG, meaningless without logging; there are no others.
    if (flags !== 0)
      throw badVhostUserMessage(message.request, `flags ${flags}: logging was not offered`);
    for (const part of ["descriptors", "available", "used"] as const) {
      if (addresses[part] % ALIGNMENT[part] !== 0) {
        throw badVhostUserMessage(
          message.request,
          `${part}: not aligned to ${ALIGNMENT[part]} bytes`,
        );
      }
    }
    ring.addresses = addresses;
  }

  #refuseWhileRunning(ring: RingState, message: VhostMessage): void {
    if (ring.isRunning) throw badVhostUserMessage(message.request, "the ring runs");
  }

  #setKick(index: number, ring: RingState, fd: number | undefined, message: VhostMessage): void {
    if (fd === undefined) {
      throw badVhostUserMessage(
        message.request,
        "no descriptor: a ring that is polled is not supported",
      );
    }
    if (ring.isRunning) this.#do({ kind: "kick", ring: index, fd });
    this.#close(ring.kick);
    ring.kick = fd;
  }

  #enable(index: number, enabled: boolean): void {
    const ring = this.#rings[index];
    if (ring === undefined || ring.enabled === enabled) return;
    ring.enabled = enabled;
    if (ring.isRunning) this.#do({ kind: "enable", ring: index, enabled });
    else this.#startIfReady(index, ring);
  }

  #startIfReady(index: number, ring: RingState): void {
    const { isRunning, enabled, entries, addresses, base, kick, call, err } = ring;
    if (isRunning || !enabled || entries === 0) return;
    if (addresses === undefined || kick === undefined) return;
    ring.isRunning = true;
    const setup = { entries, addresses, base, kick, call, err };
    this.#do({ kind: "start", ring: index, setup });
  }

  /** Section "VHOST_USER_GET_VRING_BASE": it stops the ring as well. */
  #getBase(index: number, ring: RingState, message: VhostMessage): void {
    if (ring.isRunning) ring.base = this.#lastAvailable(index) & 0xffff;
    this.#stop(index, ring);
    this.#reply(message, encodeVringState(index, ring.base));
  }

  /** The kick goes, so that the ring does not start again before the VMM sends another. */
  #stop(index: number, ring: RingState): void {
    if (ring.isRunning) this.#do({ kind: "stop", ring: index });
    ring.isRunning = false;
    this.#close(ring.kick);
    ring.kick = undefined;
  }
}

function offer(region: RegionDescription, message: VhostMessage, index: number): OfferedRegion {
  const fd = message.fds[index];
  if (fd === undefined) throw badVhostUserMessage(message.request, "a region without a descriptor");
  return { ...region, fd };
}
