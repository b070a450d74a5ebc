/** The VMM's side of a device: the Unix socket it connects to, its messages, and the guest's memory. */
import { reasonOf } from "../../errors.ts";
import { EPOLLIN, EPOLLRDHUP } from "../../ffi/epoll.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { receiveWithDescriptors } from "../../ffi/receive.ts";
import { closeDescriptor, writeDescriptor } from "../../ffi/socket.ts";
import type { UnixListener } from "../../net/listen.ts";
import { descriptorsOf, type VhostAction } from "../../protocols/vhost-user/actions.ts";
import { VhostBackend } from "../../protocols/vhost-user/backend.ts";
import { MessageReader } from "../../protocols/vhost-user/message-reader.ts";
import type { VhostMessage } from "../../protocols/vhost-user/wire.ts";
import { Acceptor } from "../../io/acceptor.ts";
import type { EventLoop } from "../../io/event-loop.ts";
import { GuestMemory } from "./guest-memory.ts";

/** What of the actions is the rings' business. */
export type RingAction = Extract<
  VhostAction,
  { kind: "start" | "stop" | "enable" | "kick" | "call" | "reset" }
>;

/** Reads from one VMM before the others have a turn; a message takes two. */
const READS_PER_ROUND = 64;

/** Who is told of what the VMM does. */
export interface VmmHandlers {
  /** Something about the rings; what it throws drops the VMM. */
  onRing(action: RingAction): void;
  /** A VMM has connected. */
  onVmmConnected(): void;
  /** The VMM has gone; the rings run for this one moment more. What it throws is the VMM's fault. */
  onVmmClosing(): void;
  /** The VMM is gone. Rings have stopped, and the memory is unmapped. */
  onVmmDisconnected(why: string, isFault: boolean): void;
  /** Another VMM was turned away. */
  onVmmRefused(): void;
  /** Something is wrong with the socket. */
  onWarning(message: string): void;
}

/** What a {@link VmmConnection} is made of. */
export interface VmmConnectionOptions {
  /** The Unix socket, which is closed and removed with the link. */
  listener: UnixListener;
  /** The device's configuration space. */
  config: Uint8Array;
  /** Largest ring that is accepted. */
  maxRingEntries: number;
  /** Where a ring that runs has got to, asked when it is about to stop. */
  lastAvailable: (ring: number) => number;
}

/** One VMM at a time. */
export class VmmConnection {
  readonly memory = new GuestMemory();
  readonly #loop: EventLoop;
  readonly #owner: VmmHandlers;
  readonly #listener: UnixListener;
  readonly #acceptor: Acceptor;
  readonly #backend: VhostBackend;
  #fd: number | undefined;
  #reader = new MessageReader();

  /** Accepts from the first round on. */
  constructor(loop: EventLoop, owner: VmmHandlers, options: VmmConnectionOptions) {
    const { listener, ...backendOptions } = options;
    this.#loop = loop;
    this.#owner = owner;
    this.#backend = new VhostBackend(backendOptions);
    this.#listener = listener;
    this.#acceptor = new Acceptor(loop, {
      fd: listener.fd,
      address: listener.path,
      onAccept: (fd) => this.#onAccept(fd),
      warn: (message) => owner.onWarning(message),
    });
  }

  /** Whether a VMM is connected. */
  get isConnected(): boolean {
    return this.#fd !== undefined;
  }

  /** What the driver has taken of the features that were offered. */
  get features(): bigint {
    return this.#backend.features;
  }

  #onAccept(fd: number): void {
    // One that begins again may be heard of before its own end is.
    if (this.#fd !== undefined) this.#onReadable(this.#fd);
    if (this.#fd !== undefined) {
      this.#owner.onVmmRefused();
      return closeDescriptor(fd);
    }
    this.#fd = fd;
    this.#reader = new MessageReader();
    this.#owner.onVmmConnected();
    this.#loop.add(fd, EPOLLIN | EPOLLRDHUP, () => this.#onReadable(fd));
  }

  /** Called in every round. */
  onTime(now: number): void {
    this.#acceptor.onTime(now);
  }

  #onReadable(fd: number): void {
    try {
      for (let reads = 0; reads < READS_PER_ROUND; reads++) {
        const buffer = new Uint8Array(this.#reader.wanted);
        const { count, fds } = receiveWithDescriptors(fd, buffer);
        if (count === -ERRNO.EAGAIN) return;
        if (count <= 0) {
          this.#owner.onVmmClosing();
          return this.drop("the VMM has disconnected", false);
        }
        const message = this.#reader.push(buffer.subarray(0, count), fds);
        if (message !== undefined) this.#onMessage(fd, message);
      }
    } catch (thrown) {
      this.drop(`the VMM was dropped: ${reasonOf(thrown).message}`, true);
    }
  }

  #onMessage(fd: number, message: VhostMessage): void {
    let actions: VhostAction[];
    try {
      actions = this.#backend.handle(message);
    } catch (thrown) {
      this.#refuse(fd, message);
      for (const given of message.fds) closeDescriptor(given);
      throw thrown;
    }
    try {
      this.#carryOut(actions);
    } catch (thrown) {
      this.#refuse(fd, message);
      throw thrown;
    }
  }

  #refuse(fd: number, message: VhostMessage): void {
    const refusal = this.#backend.refusal(message);
    if (refusal !== undefined) writeDescriptor(fd, refusal);
  }

  #carryOut(actions: VhostAction[]): void {
    for (const [index, action] of actions.entries()) {
      try {
        this.#do(action);
      } catch (thrown) {
        for (const left of actions.slice(index + 1)) {
          for (const fd of descriptorsOf(left)) closeDescriptor(fd);
        }
        throw thrown;
      }
    }
  }

  #do(action: VhostAction): void {
    switch (action.kind) {
      case "reply":
        if (this.#fd !== undefined) writeDescriptor(this.#fd, action.bytes);
        return;
      case "map-table":
        return this.memory.replace(action.regions);
      case "add-region":
        return this.memory.add(action.region);
      case "remove-region":
        return this.memory.remove(action.region);
      case "close":
        this.#loop.remove(action.fd);
        return closeDescriptor(action.fd);
      case "err":
      case "features":
        return;
      default:
        return this.#owner.onRing(action);
    }
  }

  /** Ends the VMM's connection; the next one may come. */
  drop(why: string, isFault: boolean): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    for (const given of this.#reader.takeDescriptors()) closeDescriptor(given);
    try {
      this.#carryOut(this.#backend.end());
    } finally {
      this.#fd = undefined;
      this.#loop.remove(fd);
      closeDescriptor(fd);
      this.#owner.onVmmDisconnected(why, isFault);
    }
  }

  /** Drops the VMM and removes the socket. */
  close(): void {
    this.drop("the device ends", false);
    this.#acceptor.close();
    closeDescriptor(this.#listener.fd);
    this.#listener.removeFile();
  }
}
