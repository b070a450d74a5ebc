/**
 * The vhost-user back end of a device: the Unix socket that the VMM connects to, its messages, and the
 * guest's memory.
 *
 * VhostBackend (protocols/vhost-user) validates each message and returns actions; this class performs
 * them. Replies and memory are its own part, actions on queues go to the device. One VMM is connected at a
 * time; further ones are refused. A VMM is not trusted: a message that breaks the protocol, or an action
 * that fails, disconnects it, and all descriptors that came with it are closed.
 *
 * At the end of a connection the queues are processed once more (`onDisconnecting`), then they stop, the
 * memory is unmapped, and `onDisconnected` is called. The socket goes on to listen: a VMM that
 * was restarted connects again.
 */
import { reasonOf } from "../../errors.ts";
import { EPOLLIN, EPOLLRDHUP } from "../../ffi/epoll.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { receiveWithDescriptors } from "../../ffi/receive.ts";
import { closeDescriptor, writeDescriptor } from "../../ffi/socket.ts";
import type { UnixListener } from "../../net/listen.ts";
import { descriptorsOf, type VhostAction } from "../../protocols/vhost-user/actions.ts";
import { VhostBackend } from "../../protocols/vhost-user/backend.ts";
import { VhostUserMessageReader } from "../../protocols/vhost-user/message-reader.ts";
import type { VhostMessage } from "../../protocols/vhost-user/wire.ts";
import { Acceptor } from "../../io/acceptor.ts";
import type { EventLoop } from "../../io/event-loop.ts";
import { GuestMemory } from "./guest-memory.ts";

/** Actions on the queues, which the device performs. */
export type RingAction = Extract<
  VhostAction,
  { kind: "start" | "stop" | "enable" | "kick" | "call" | "reset" }
>;

/** Reads from one VMM before others are served; a message needs two. */
const READS_PER_ROUND = 64;

/** Receives the events of a VMM's connection. */
export interface VmmHandlers {
  /** Performs an action on the queues; if it throws, the VMM is disconnected. */
  onRing(action: RingAction): void;
  onConnected(): void;
  /** Called while the queues still run; an error counts as the VMM's fault. */
  onDisconnecting(): void;
  /** Called after the queues have stopped and the memory is unmapped. */
  onDisconnected(reason: string, isFault: boolean): void;
  /** Called when another VMM was refused. */
  onRefused(): void;
  /** Reports a fault of the listening socket. */
  onWarning(message: string): void;
}

/** Options of {@link VmmConnection}. */
export interface VmmConnectionOptions {
  /** The Unix socket, which is closed and removed with the connection. */
  listener: UnixListener;
  /** The device's configuration space. */
  config: Uint8Array;
  /** Size of the largest queue that is accepted. */
  maxRingEntries: number;
  /** Returns the next index in the available ring of a queue that is about to stop. */
  lastAvailable: (ring: number) => number;
}

/** The connection with one VMM at a time. */
export class VmmConnection {
  readonly memory = new GuestMemory();
  readonly #loop: EventLoop;
  readonly #handlers: VmmHandlers;
  readonly #listener: UnixListener;
  readonly #acceptor: Acceptor;
  readonly #backend: VhostBackend;
  #fd: number | undefined;
  #reader = new VhostUserMessageReader();

  /** Accepts from the first round of the loop on. */
  constructor(loop: EventLoop, handlers: VmmHandlers, options: VmmConnectionOptions) {
    const { listener, ...backendOptions } = options;
    this.#loop = loop;
    this.#handlers = handlers;
    this.#backend = new VhostBackend(backendOptions);
    this.#listener = listener;
    this.#acceptor = new Acceptor(loop, {
      fd: listener.fd,
      address: listener.path,
      onAccept: (fd) => this.#onAccept(fd),
      warn: (message) => handlers.onWarning(message),
    });
  }

  /** Whether a VMM is connected. */
  get isConnected(): boolean {
    return this.#fd !== undefined;
  }

  /** The offered features that the driver has accepted. */
  get features(): bigint {
    return this.#backend.features;
  }

  #onAccept(fd: number): void {
    // A VMM that was restarted may be accepted before the end of its old connection was read.
    if (this.#fd !== undefined) this.#onReadable(this.#fd);
    if (this.#fd !== undefined) {
      this.#handlers.onRefused();
      return closeDescriptor(fd);
    }
    this.#fd = fd;
    this.#reader = new VhostUserMessageReader();
    this.#handlers.onConnected();
    this.#loop.add(fd, EPOLLIN | EPOLLRDHUP, () => this.#onReadable(fd));
  }

  /** Called in every round; `now` is performance.now(). */
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
          this.#handlers.onDisconnecting();
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
      for (const received of message.fds) closeDescriptor(received);
      throw thrown;
    }
    try {
      this.#performAll(actions);
    } catch (thrown) {
      this.#refuse(fd, message);
      throw thrown;
    }
  }

  #refuse(fd: number, message: VhostMessage): void {
    const refusal = this.#backend.refusal(message);
    if (refusal !== undefined) writeDescriptor(fd, refusal);
  }

  #performAll(actions: VhostAction[]): void {
    for (const [index, action] of actions.entries()) {
      try {
        this.#perform(action);
      } catch (thrown) {
        for (const left of actions.slice(index + 1)) {
          for (const fd of descriptorsOf(left)) closeDescriptor(fd);
        }
        throw thrown;
      }
    }
  }

  #perform(action: VhostAction): void {
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
      case "start":
      case "stop":
      case "enable":
      case "kick":
      case "call":
      case "reset":
        return this.#handlers.onRing(action);
      default:
        action satisfies never;
    }
  }

  /** Disconnects the VMM; the next one may connect. */
  drop(reason: string, isFault: boolean): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    for (const received of this.#reader.takeDescriptors()) closeDescriptor(received);
    try {
      this.#performAll(this.#backend.end());
    } finally {
      this.#fd = undefined;
      this.#loop.remove(fd);
      closeDescriptor(fd);
      this.#handlers.onDisconnected(reason, isFault);
    }
  }

  /** Disconnects the VMM and removes the socket. */
  close(): void {
    this.drop("the device ends", false);
    this.#acceptor.close();
    closeDescriptor(this.#listener.fd);
    this.#listener.removeFile();
  }
}
