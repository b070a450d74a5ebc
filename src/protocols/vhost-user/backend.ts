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
import type { VhostAction } from "./actions.ts";
import { encodeReply, encodeU64 } from "./encode.ts";
import { DEFAULT_FEATURES, DEFAULT_PROTOCOL_FEATURES, Feature } from "./features.ts";
import { MemoryRegions } from "./memory-regions.ts";
import { acknowledgementOf, configPayload } from "./replies.ts";
import { checkNegotiated } from "./request-rules.ts";
import { decodeRequest, type VhostRequest } from "./requests.ts";
import { Rings } from "./rings.ts";
import { badVhostUserMessage, MAX_REGIONS, type VhostMessage } from "./wire.ts";

/** Rings of a vsock device: receive, transmit, event; virtio 1.2, 5.10.2. */
const VSOCK_RINGS = 3;

/** Default limit of a ring's size: the default of `--queue-size`. */
const DEFAULT_RING_ENTRIES = 1024;

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
  /** Number of rings: {@link VSOCK_RINGS}. */
  rings?: number;
  /** Largest ring that is accepted: {@link DEFAULT_RING_ENTRIES}. */
  maxRingEntries?: number;
}

/** One VMM's connection. An invalid message ends this connection and no other. */
export class VhostBackend {
  readonly #config: Uint8Array;
  readonly #offered: bigint;
  readonly #offeredProtocol: bigint;
  readonly #rings: Rings;
  readonly #regions: MemoryRegions;
  #features = 0n;
  #protocolFeatures = 0n;
  #status = 0n;
  /** The descriptor for requests of the back end to the VMM. */
  #requests: number | undefined;
  #actions: VhostAction[] = [];

  constructor(options: VhostBackendOptions) {
    const act = (action: VhostAction): void => this.#do(action);
    this.#config = options.config;
    this.#offered = options.features ?? DEFAULT_FEATURES;
    this.#offeredProtocol = options.protocolFeatures ?? DEFAULT_PROTOCOL_FEATURES;
    this.#regions = new MemoryRegions(act);
    this.#rings = new Rings({
      count: options.rings ?? VSOCK_RINGS,
      maxEntries: options.maxRingEntries ?? DEFAULT_RING_ENTRIES,
      lastAvailable: options.lastAvailable,
      act,
    });
  }

  /** The offered features that the driver has accepted. */
  get features(): bigint {
    return this.#features;
  }

  /** Returns whether the ring runs; it is processed while it is enabled as well. */
  isRunning(ring: number): boolean {
    return this.#rings.isRunning(ring);
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
    checkNegotiated(request.name, message.request, this.#protocolFeatures);
    this.#actions = [];
    const isDone = this.#dispatch(request, message);
    const ack = acknowledgementOf(message, isDone, this.#protocolFeatures);
    if (ack !== undefined) this.#do({ kind: "reply", bytes: ack });
    return this.#actions;
  }

  /** Returns the reply to a message that could not be performed, if the VMM has asked for replies. */
  refusal(message: VhostMessage): Uint8Array | undefined {
    return acknowledgementOf(message, false, this.#protocolFeatures);
  }

  /** Returns the actions after the end of the connection, and resets the state. */
  end(): VhostAction[] {
    this.#actions = [];
    this.#rings.end();
    this.#close(this.#requests);
    this.#requests = undefined;
    this.#regions.clear();
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

  /** Returns whether it was performed; false if it is refused without ending the connection. */
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
        this.#rings.enableAll(false);
        return true;
      case "SET_LOG_BASE":
      case "SET_LOG_FD":
        throw badVhostUserMessage(message.request, "logging was not offered");
      case "GET_QUEUE_NUM":
        this.#reply(message, encodeU64(BigInt(this.#rings.count)));
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
        this.#regions.setTable(request.regions, message);
        return true;
      case "ADD_MEM_REG":
        this.#regions.add(request.region, message);
        return true;
      case "REM_MEM_REG":
        this.#regions.remove(request.region, message);
        return true;
      case "GET_CONFIG":
        this.#reply(
          message,
          configPayload(this.#config, { ...request, size: request.bytes.length }),
        );
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
        this.#rings.handle(request, message.request);
        return true;
    }
  }

  #setFeatures(features: bigint, message: VhostMessage): void {
    const unknown = features & ~this.#offered;
    if (unknown !== 0n) {
      throw badVhostUserMessage(
        message.request,
        `features 0x${unknown.toString(16)} were not offered`,
      );
    }
    if (features !== this.#features && this.#rings.isAnyRunning) {
      throw badVhostUserMessage(message.request, "other features while a ring runs");
    }
    this.#features = features;
    this.#do({ kind: "features", features });
    // Section "Ring states": without protocol features no message enables a ring.
    if ((features & Feature.ProtocolFeatures) !== 0n) return;
    this.#rings.enableAll(true);
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
    this.#rings.reset();
    this.#status = 0n;
    this.#do({ kind: "reset" });
  }
}
