/**
 * One mounted file system: requests of the kernel in, answers out, many in flight.
 *
 *   kernel -> /dev/fuse -> decode -> dispatch -> files of the host (asynchronous)
 *   kernel <- /dev/fuse <- answer laid out in one buffer; data is written from where it was received
 *
 * States: waiting for INIT; running; ended, once the file system is unmounted. While an operation is
 * asked of the host, others go on: this loop never waits for one of them, nor for a file of its own mount.
 *
 * An interrupt (a signal of the waiting process) does not end an operation at once, since programs such as
 * those in Go get signals all the time. Only if the host has not answered a while after it, the process
 * gets EINTR: no process stays unkillable.
 */
import { ERRNO } from "../../ffi/errno.ts";
import { InitUpperFlag, OUT_HEADER_BYTES } from "../../protocols/fuse/constants.ts";
import { type FuseWishes, negotiate } from "../../protocols/fuse/negotiate.ts";
import { FuseReply } from "../../protocols/fuse/reply.ts";
import {
  decodeFuseRequest,
  type FuseChanges,
  type FuseRequest,
} from "../../protocols/fuse/request.ts";
import { RemoteError } from "../client/remote-files.ts";
import { policyForKernel } from "./cache-policy.ts";
import { isChange, needsWriting } from "./changing-operations.ts";
import { dispatch, type HostOperation } from "./dispatch.ts";
import type { ReplyBody, Call, MountState } from "./mount-state.ts";
import type { Of } from "./name-operations.ts";
import { RequestBuffers } from "./request-buffers.ts";

/** The kernel's end of a session. Counts are bytes, or an errno as a negative number. */
export interface FuseDevice {
  /** Reads one request; -EAGAIN if there is none. */
  read(buffer: Uint8Array): number;
  /** Writes an answer: the first `length` bytes of `head`, then `data`. */
  write(head: Uint8Array, length: number, data: Uint8Array | undefined): number;
  /** Calls `wake` once there is a request, or the session has ended. */
  whenReadable(wake: () => void): void;
}

/** Settings of a {@link FuseSession}. */
export interface FuseSessionOptions {
  state: MountState;
  device: FuseDevice;
  /** Whether a process is one that wakes watches: what it sets is not the host's. */
  isWaking?(pid: number): boolean;
  /** Called with what an operation threw that is not a failure of the host: a defect. */
  onDefect(thrown: unknown): void;
  /** How long after an interrupt a process gets EINTR, in milliseconds. */
  interruptMs?: number;
}

/** Requests in flight; the kernel sends more once these are answered. */
const MAX_PENDING = 512;
/** Requests of one turn, after which the event loop runs. */
const TURN_REQUESTS = 64;
/** How long an interrupted operation may go on, in milliseconds. */
const INTERRUPT_MS = 2000;
/** Requests up to this size are copied out of the buffer; larger writes keep it. In bytes. */
const COPIED_BYTES = 16 * 1024;
/** What a request has beside its data: the header, a structure, names. In bytes. */
const OVERHEAD_BYTES = 4096;
/** Answers without data: directory entries of 128 KiB are the longest. */
const REPLY_BYTES = 256 * 1024;
/** EPROTO, for a kernel that is too old. */
const EPROTO = 71;

/** What a process that wakes watches is let change. */
const NO_CHANGES: FuseChanges = {
  ...{ handle: undefined, mode: undefined, uid: undefined, gid: undefined },
  ...{ size: undefined, atime: undefined, mtime: undefined },
};

/** Further nodes that an operation changes, beside the one that it is for. */
function othersOf(operation: HostOperation): number[] {
  if (operation.op === "rename") return [operation.newParent];
  return operation.op === "link" ? [operation.existing] : [];
}

/** What a read of the kernel has brought: a request, nothing now, nothing ever, or it is to be repeated. */
type Came = FuseRequest["operation"]["op"] | "none" | "end" | "again";

/** Serves one mount until it ends. */
export class FuseSession {
  readonly #state: MountState;
  readonly #device: FuseDevice;
  readonly #wishes: FuseWishes;
  readonly #onDefect: (thrown: unknown) => void;
  readonly #isWaking: (pid: number) => boolean;
  readonly #interruptMs: number;
  readonly #reply = new FuseReply(REPLY_BYTES);
  readonly #pending = new Map<number, Call>();
  readonly #buffers: RequestBuffers;
  readonly #started = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #isPaused = false;
  #pause: ReturnType<typeof setTimeout> | undefined;

  constructor(options: FuseSessionOptions) {
    const { state, device, onDefect, interruptMs = INTERRUPT_MS } = options;
    this.#isWaking = (pid) => options.isWaking?.(pid) === true;
    this.#state = state;
    this.#device = device;
    this.#onDefect = onDefect;
    this.#interruptMs = interruptMs;
    const { files, policy } = state;
    const maxTransfer = Math.min(files.maxReadBytes, files.maxWriteBytes);
    this.#wishes = {
      maxTransfer,
      usesWriteback: policy.usesWriteback,
      cachesLinks: policy.usesWriteback,
      readsAttributes: true,
      mapsDirectIo: policy.isDirect,
    };
    this.#buffers = new RequestBuffers(OVERHEAD_BYTES + Math.max(maxTransfer, OVERHEAD_BYTES));
  }

  /** Resolves when the kernel has begun the session. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** The number of requests in flight. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Sends a notification. A node that the kernel does not know is not an error. */
  notify(bytes: Uint8Array): void {
    this.#device.write(bytes, bytes.length, undefined);
  }

  /** Serves requests; resolves when the file system is unmounted. */
  run(): Promise<void> {
    this.#turn();
    return this.#ended.promise;
  }

  #turn(): void {
    clearTimeout(this.#pause);
    this.#isPaused = false;
    for (let count = 0; count < TURN_REQUESTS; count++) {
      if (this.#pending.size >= MAX_PENDING) {
        this.#waitPaused();
        return;
      }
      const came = this.#readOne();
      if (came === "none") this.#device.whenReadable(() => this.#turn());
      if (came === "none" || came === "end") return;
    }
    setImmediate(() => this.#turn());
  }

  /** While the host answers nothing, interrupts are read all the same: no process stays unkillable. */
  #waitPaused(): void {
    this.#isPaused = true;
    this.#pause = setTimeout(() => this.#readInterrupts(), this.#interruptMs / 4);
  }

  /** The kernel gives interrupts before requests; the first request after them is one beyond the limit. */
  #readInterrupts(): void {
    for (let count = 0; count < MAX_PENDING; count++) {
      const came = this.#readOne();
      if (came === "end") return;
      if (came !== "interrupt" && came !== "forget" && came !== "again") break;
    }
    this.#waitPaused();
  }

  #readOne(): Came {
    const buffer = this.#buffers.acquire();
    const length = this.#device.read(buffer);
    if (length > 0) return this.#receive(buffer, length);
    this.#buffers.release(buffer);
    switch (-length) {
      // ENOENT: the request was interrupted before it was read.
      case ERRNO.EINTR:
      case ERRNO.ENOENT:
        return "again";
      case ERRNO.EAGAIN:
        return "none";
      default:
        this.#ended.resolve();
        return "end";
    }
  }

  #receive(buffer: Uint8Array, length: number): Came {
    // What a request names is used after the buffer would be read into again.
    const isLarge = length > COPIED_BYTES;
    const request = decodeFuseRequest(
      isLarge ? buffer.subarray(0, length) : buffer.slice(0, length),
    );
    const isKept = isLarge && request?.operation.op === "write";
    if (!isKept) this.#buffers.release(buffer);
    if (request !== undefined) this.#begin(request, isKept ? buffer : undefined);
    return request?.operation.op ?? "again";
  }

  #begin(request: FuseRequest, buffer: Uint8Array | undefined): void {
    const { operation } = request;
    switch (operation.op) {
      case "init":
        this.#initialise(request.unique, operation);
        break;
      case "forget":
        for (const { node, lookups } of operation.nodes) this.#state.nodes.forget(node, lookups);
        break;
      case "interrupt":
        this.#interrupt(operation.unique);
        break;
      case "destroy":
        this.#answer(request.unique, undefined);
        break;
      default:
        void this.#serve(request, this.#withoutWaking(request.pid, operation), buffer);
    }
  }

  /** A process that wakes watches sets nothing. */
  #withoutWaking(pid: number, operation: HostOperation): HostOperation {
    if (operation.op !== "setAttributes" || !this.#isWaking(pid)) return operation;
    return { op: "setAttributes", changes: NO_CHANGES };
  }

  #initialise(unique: number, offer: Of<"init">): void {
    const settings = negotiate(offer, this.#wishes);
    if (settings === undefined) {
      this.#fail(unique, EPROTO);
      return;
    }
    const mapsDirectIo = (settings.upperFlags & InitUpperFlag.MapsDirectIo) !== 0;
    this.#state.policy = policyForKernel(this.#state.policy, mapsDirectIo);
    this.#answer(unique, (reply) => {
      reply.settings(settings);
    });
    if (offer.major === 7) this.#started.resolve();
  }

  #interrupt(unique: number): void {
    const call = this.#pending.get(unique);
    if (call === undefined) return;
    setTimeout(() => {
      if (this.#pending.get(unique) !== call || call.isAnswered) return;
      call.isAnswered = true;
      this.#fail(unique, ERRNO.EINTR);
    }, this.#interruptMs);
  }

  async #serve(
    { unique, node, uid, gid, pid }: FuseRequest,
    operation: HostOperation,
    buffer: Uint8Array | undefined,
  ): Promise<void> {
    const call: Call = { node, uid, gid, pid, isAnswered: false };
    this.#pending.set(unique, call);
    const changes = isChange(operation);
    try {
      // The kernel refuses changes through the mount, but not through another one of the same file system.
      if (this.#state.isReadOnly && needsWriting(operation)) throw new RemoteError(ERRNO.EROFS);
      // Before and after: a list that is read meanwhile may have either.
      if (changes) this.#dropSnapshots(node, operation);
      const answer = await dispatch(this.#state, call, operation);
      if (changes) this.#dropSnapshots(node, operation);
      if (!call.isAnswered) this.#answer(unique, answer);
    } catch (thrown) {
      if (!(thrown instanceof RemoteError)) this.#onDefect(thrown);
      const errno = thrown instanceof RemoteError ? thrown.errno : ERRNO.EIO;
      if (!call.isAnswered) this.#fail(unique, errno);
    } finally {
      this.#pending.delete(unique);
      if (buffer !== undefined) this.#buffers.release(buffer);
      if (this.#isPaused) this.#turn();
    }
  }

  #dropSnapshots(id: number, operation: HostOperation): void {
    const { nodes, handles, snapshots } = this.#state;
    for (const changed of [id, ...othersOf(operation)]) {
      const node = nodes.get(changed);
      if (node !== undefined) snapshots.changed(node);
    }
    if (operation.op !== "copyFileRange") return;
    const target = handles.file(operation.to.handle);
    if (target !== undefined) snapshots.changed(target.node);
  }

  #answer(unique: number, answer: ReplyBody): void {
    const reply = this.#reply.begin();
    const data = typeof answer === "function" ? undefined : answer;
    if (typeof answer === "function") answer(reply);
    reply.finish(unique, 0, data?.length);
    const result = this.#device.write(reply.bytes, reply.length, data);
    // An answer that the kernel refuses must not leave its process waiting.
    if (result < 0 && result !== -ERRNO.ENOENT && result !== -ERRNO.ENODEV) {
      this.#fail(unique, ERRNO.EIO);
    }
  }

  #fail(unique: number, errno: number): void {
    this.#reply.begin().finish(unique, errno);
    this.#device.write(this.#reply.bytes, OUT_HEADER_BYTES, undefined);
  }
}
